"""Tables as text, for a screen."""

from collections.abc import Collection, Iterator, Sequence


def table(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> Iterator[str]:
    """Rows of text in columns of equal width, those of `left` aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        fitted = (
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(fitted).rstrip()
