"""The code fences of a Markdown page; run as a script, it prints one: fences.py FILE LANGUAGE N."""

import re
import sys
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(path: Path, language: str) -> list[str]:
    """The contents of every fence of that language, in order."""
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


if __name__ == "__main__":
    print(fences(Path(sys.argv[1]), sys.argv[2])[int(sys.argv[3])])
