"""Write the pages that are tables of the code: python docs/tables.py [FOLDER]."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from refdiff import samplers
from refdiff.checkpoints import clip, unet, unet_unconditional, vae
from refdiff.verify.mistakes import CATALOGUE, FAMILIES
from refdiff.verify.mistakes.recipes import RECIPES

HEAD = "<!-- written by docs/tables.py -->\n\n"


def configurations() -> str:
    """Which keys of config.json are read, which must be neutral, which have no effect."""
    pages = [
        "# Supported configurations",
        "",
        "Every key of a configuration is read, must have its neutral value, or has no numeric "
        "effect. Any other key, and any other value, is refused by name.",
    ]
    for name, read, options, neutral, ignored in classes():
        pages += ["", f"## {name}", "", *keys("read", read), ""]
        if options:
            pages += [*keys("given beside the file", options), ""]
        pages += [*keys("neutral", neutral), ""]
        pages += [f"Without effect: {', '.join(f'`{key}`' for key in sorted(ignored))}."]
    return "\n".join(pages) + "\n"


Rows = Mapping[str, str]


def classes() -> Iterator[tuple[str, Rows, Rows, Rows, Iterable[str]]]:
    """Of each class its name, what keys and options may be, neutral values, and the rest."""
    for table in (unet.TABLE, unet_unconditional.TABLE, vae.TABLE, clip.TABLE):
        says = {k: f"{key.kind.says}; {key.default!r} if absent" for k, key in table.read.items()}
        neutral = {key: " or ".join(map(repr, values)) for key, values in table.neutral.items()}
        yield table.class_name, says, {}, neutral, table.ignored
    for entry in sorted(samplers.ENTRIES, key=lambda entry: entry.class_name):
        name = entry.class_name
        neutral = {key: repr(value) for key, value in samplers.NEUTRAL[name].items()}
        says, options = (
            {k: f"{key.expected}; {key.default!r} if absent" for k, key in table.items()}
            for table in (entry.read, entry.options)
        )
        yield name, says, options, neutral, samplers.IGNORED[name]


def keys(title: str, rows: Rows) -> list[str]:
    """A table of keys and what they may be."""
    cells = [f"| `{key}` | {says.replace('|', '/')} |" for key, says in rows.items()]
    return [f"| key {title} | value |", "|---|---|", *cells]


def mistakes() -> str:
    """The catalogue of known mistakes, and how one is added."""
    found = [(m.id, m.title) for m in CATALOGUE.values()]
    found += [(f.id, re.sub("{value[^}]*}", "{value}", f.title)) for f in FAMILIES.values()]
    found += [(r.id, r.title) for r in RECIPES]
    rows = [f"| `{id}` | {title} |" for id, title in sorted(found)]
    return MISTAKES.format(count=len(found), rows="\n".join(rows))


MISTAKES = """# Known mistakes

What `refdiff compare` tries on a layer that rounding does not explain, and what the conformance kit
shows the effect of: {count} mistakes. A number in braces is fitted.

A mistake is an operation done wrong, and one small function in `refdiff/verify/mistakes/`; it is
called with the operation itself and its arguments, in the operation's place. Between the networks
it is a change of the recipe, one line in `recipes.py`.

```python
import numpy as np

from refdiff import ops
from refdiff.verify.mistakes import Mistake, made


def no_negatives(silu, x):
    return np.maximum(silu(x), 0)


with made(Mistake("silu/no-negatives", "silu without its dip below 0", no_negatives)):
    print(ops.silu(np.array([-1.0, 0.0])))  # [0. 0.]
```

In the catalogue it stands below `@mistake("silu", "no-negatives", "...")`.

| mistake | what is done |
|---|---|
{rows}
"""

PAGES = {"configurations.md": configurations, "mistakes.md": mistakes}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, page in PAGES.items():
        (folder / name).write_text(HEAD + page())
