"""The page opens offline, shows what is in the report, and obeys no name that is in it."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from refdiff.verify.labels import block_of, clean
from refdiff.verify.markup import Html, el, join
from refdiff.verify.metrics import measure
from refdiff.verify.report import Compared, Evidence, Report
from refdiff.verify.report_chart import histogram
from refdiff.verify.report_heat import heat_map, shrunk, worst_channels
from refdiff.verify.report_html import page
from refdiff.verify.verdict import State, honest, judge
from tests.verify.reports import full_report, report

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)&amp;\x00\x1b[31m\ud800"


class Seen(HTMLParser):
    """Every element, and whether all are closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str, class_: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and class_ in (a.get("class") or "")]


def test_the_answer_stands_first() -> None:
    seen = Seen(page(full_report()))
    text = " ".join("".join(seen.text).split())
    answer = text.index("Wrong")
    assert text.index("exit code 1") < text.index("Along the network") < text.index("All tensors")
    assert answer < text.index("eps is 0.05, at steps.1.x_prev") < text.index("Along the network")
    for word in ("no rounding can do this", "unexplained", "a warning about", "not the same twice"):
        assert word in text
    assert "is transposed" in text and "nobody knows it" in text and "waived" in text
    assert "Explained likewise, 1 more: steps.0.x_prev" in text
    assert len(seen.of("use")) == 4 + 2 and len(seen.of("section", "guilty")) == 2
    assert len(seen.of("img")) == 2 and len(seen.of("svg", "histogram")) == 2


@pytest.mark.parametrize(
    ("states", "word"),
    [((State.EXPLAINED,), "Right"), ((State.LOOSE,), "Loose"), ((State.UNEXPLAINED,), "Wrong")],
)
def test_the_answer_in_a_word(states: tuple[State, ...], word: str) -> None:
    seen = Seen(page(report("a", "b", states=states)))
    assert word in seen.text
    assert bool(seen.of("section", "guilty")) == (states[0] == State.UNEXPLAINED)


def test_nothing_is_fetched_and_no_name_is_obeyed() -> None:
    text = page(full_report(HOSTILE))
    seen = Seen(text)
    assert [a for a in seen.of("script") if a] == [] and len(seen.of("script")) == 1
    assert not [a for _, a in seen.elements if any(key.startswith("on") for key in a)]
    for _, attributes in seen.elements:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    assert "http://" not in text and "https://" not in text and "url(" not in text
    assert not set(map(ord, text)) & ({*range(32)} - {10}) and text.encode()
    assert "<script>alert('x')</script>\" onload" in "".join(seen.text)


def test_anchors_lead_somewhere() -> None:
    seen = Seen(page(full_report()))
    ids = [a["id"] for _, a in seen.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in seen.of("a")} <= {f"#{i}" for i in ids}


def test_without_tensors_and_without_numbers() -> None:
    assert "Not compared in full" in page(Report("", "", None, "float32", ()))
    exact, broken = np.ones((2, 3)), np.array([[np.nan, 1, 1], [np.inf, 1, 2]])
    judged = judge(measure(exact, broken), honest((), exact))
    found = Compared("a", "b", "map", "N C", None, judged.metrics, judged)
    made = Report(
        "", "", None, "float32", (found,), evidence=(Evidence("a", exact, broken, exact),)
    )
    seen = Seen(page(made))
    assert "2 elements of the tensor are not finite" in "".join(seen.text)
    assert "b N C" in seen.text


def test_many_tensors_stay_readable() -> None:
    names = [
        f"steps.{s}.unet.down_blocks.{b}.resnets.{i}"
        for s in range(9)
        for b in range(9)
        for i in range(4)
    ]
    one = report("x", states=(State.EXPLAINED,)).tensors[0]
    made = replace(report("x"), tensors=tuple(replace(one, name=n) for n in names))
    seen = Seen(page(made))
    assert len(seen.of("use")) == len(names)
    labels = [a for a in seen.of("text") if "rotate" in (a.get("transform") or "")]
    places = [float((a["transform"] or "")[10:].split()[0]) for a in labels]
    assert len(labels) > 30 and min(np.diff(places)) >= 13


def decoded(uri: str) -> np.ndarray:
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_the_heat_map_has_the_sign_and_the_worst_plane() -> None:
    error = np.zeros((2, 3, 4, 5))
    error[1, 2, 0, 0], error[1, 2, 3, 4], error[1, 2, 1, 1] = 0.5, -0.5, np.nan
    found = heat_map(error)
    assert (found.index, found.shape, found.peak) == ("[1, 2, :, :]", (4, 5), 0.5)
    colours = decoded(found.uri)
    assert colours.shape == (4, 5, 3)
    red, blue, black, white = (
        colours[i, j].astype(int) for i, j in ((0, 0), (3, 4), (1, 1), (2, 2))
    )
    assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0] and black.max() < 40 < 230 < white.min()


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((), "[]"),
        ((7,), "[:]"),
        ((3, 4), "[:, :]"),
        ((1, 3, 4), "[0, :, :]"),
        ((1, 1, 1000, 2), "[0, 0, :, :]"),
    ],
)
def test_any_shape_has_a_picture(shape: tuple[int, ...], index: str) -> None:
    error = np.random.default_rng(0).normal(size=shape)
    found = heat_map(error)
    assert found.index == index and max(decoded(found.uri).shape[:2]) <= 384
    assert len(worst_channels(Evidence("a", np.zeros(shape), error, error))) <= 8


def test_shrinking_keeps_the_largest_of_each_patch() -> None:
    plane = np.array([[1.0, -3.0, 2.0, 2.0], [0.0, 2.0, -1.0, np.nan]])
    np.testing.assert_array_equal(shrunk(plane, 2), [[-3.0, 2.0], [2.0, np.nan]])


def test_the_worst_channel_is_found() -> None:
    exact = np.zeros((2, 4, 3, 3))
    given, rounded = exact.copy(), exact + 0.5
    given[:, 2] = -1.0
    first, *_ = worst_channels(Evidence("a", exact, given, rounded))
    assert (first.number, first.rms, first.mean, first.times) == (2, 1.0, -1.0, 2.0)
    tokens = np.moveaxis(given[..., 0], 1, 2)
    assert worst_channels(Evidence("a", 0 * tokens, tokens, tokens))[0].number == 2


def test_the_histogram_tells_error_from_rounding() -> None:
    exact = np.zeros(100)
    text = histogram(Evidence("a", exact, exact + 1e-2, exact + 1e-7))
    outlines = re.findall(r'class="(\w+)-bars" d="([^"]+)"', text)
    highest = {}
    for name, path in outlines:
        steps = re.findall(r"V([\d.]+)H([\d.]+)", path)
        highest[name] = min(steps, key=lambda step: float(step[0]))
    assert float(highest["honest"][1]) < float(highest["given"][1])
    assert "100 % of the elements" in text
    assert "<svg" in histogram(Evidence("a", exact, exact, exact))


def test_markup_is_escaped_unless_it_is_markup() -> None:
    assert el("p", "<b>", Html("<i>"), class_='"', data_v=1) == (
        '<p class="&quot;" data-v="1">&lt;b&gt;<i></p>'
    )
    assert el("img", src="a") == '<img src="a">' and join("a&", 1) == "a&amp;1"


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("conv_in", "conv_in"),
        ("time_embedding.linear_1", "time_embedding"),
        ("steps.3.unet.up_blocks.1.resnets.0.conv1@2", "steps.3.unet.up_blocks.1"),
        ("steps.3.unet.conv_in", "steps.3.unet"),
        ("mid_block.attentions.0.transformer_blocks.0.attn1", "mid_block"),
        ("text_model.encoder.layers.11.mlp", "text_model.encoder.layers.11"),
        ("decoder.up_blocks.2@3", "decoder.up_blocks.2"),
    ],
)
def test_the_block_of_a_layer(name: str, block: str) -> None:
    assert block_of(name) == block


def test_what_cannot_be_shown_is_replaced() -> None:
    assert clean("a\x1b[0m\ud800é✓\n") == "a\ufffd[0m\ufffdé✓\n"
