"""From a prompt to the words that byte-pair encoding spells."""

import re
from collections.abc import Iterator

from .unicode import compose, kinds, lower

# Python counts the four separators 1C to 1F as spaces; Unicode's White_Space does not.
_SPACES = re.compile(r"[^\S\x1c-\x1f]+")

# CLIP's pattern; a special token that arrives here (as <|STARTOFTEXT|> does) is three words.
_WORD = re.compile(
    r"(<\|)(startoftext|endoftext)(\|>)|'s|'t|'re|'ve|'m|'ll|'d|[A-Za-z]+|[0-9]|[^\sA-Za-z0-9]+",
    re.ASCII,
)


def normalise(text: str) -> str:
    """Composed (NFC), every run of white space a single space, lower case; in this order."""
    return lower(_SPACES.sub(" ", compose(text)))


def words(text: str) -> Iterator[str]:
    """The words of a normalised text: a run of letters, one number, a run of anything else.

    The apostrophes of English ('s, 't, 're, 've, 'm, 'll, 'd) are words of their own.
    Source: Radford et al. 2021, github.com/openai/CLIP, clip/simple_tokenizer.py.
    """
    for match in _WORD.finditer(kinds(text)):
        for group in (1, 2, 3) if match[1] else (0,):
            yield text[slice(*match.span(group))]
