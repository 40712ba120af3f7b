"""Elements of HTML and SVG, in which whatever is not markup is escaped."""

from collections.abc import Iterable
from html import escape

from refdiff.verify.labels import clean

_VOID = ("img", "input", "meta")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def el(name: str, /, *children: object, **attributes: object) -> Html:
    """An element; children are markup if they are Html, and text otherwise.

    class_="a" is written class="a", and stroke_width=2 is written stroke-width="2".
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{told}>" + ("" if name in _VOID else f"{join(*children)}</{name}>"))


def join(*children: object) -> Html:
    """One after the other."""
    return Html("".join(child if isinstance(child, Html) else _text(child) for child in children))


def table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> Html:
    """A table of text."""
    return framed(head, [el("tr", *(el("td", cell) for cell in row)) for row in rows])


def framed(head: tuple[str, ...], rows: Iterable[Html], **attributes: object) -> Html:
    """A table of rows, which scrolls by itself where the page is too narrow."""
    top = el("thead", el("tr", *(el("th", h, scope="col") for h in head)))
    return el("div", el("table", top, el("tbody", join(*rows)), **attributes), class_="wide")


def _text(value: object) -> str:
    return escape(clean(str(value)))
