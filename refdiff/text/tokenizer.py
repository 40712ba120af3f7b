"""CLIP's tokenizer: a prompt becomes a row of ids of fixed length."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from ..errors import ConfigError, PromptError
from . import files
from .bpe import Merges, merge, spell
from .files import EOS
from .settings import AddedToken, Settings, number, plain, read_settings
from .words import normalise, words


@dataclass(frozen=True, repr=False, eq=False)
class Tokenizer:
    """Ids identical to transformers' CLIPTokenizer on any text.

    `added` tokens are recognised as they stand in the prompt and never spelled. `length` counts
    the whole row with its beginning and end; at least 2, else ConfigError.
    """

    vocab: Mapping[str, int]
    merges: Merges
    added: tuple[AddedToken, ...]
    bos: int
    eos: int
    unk: int
    pad: int
    length: int = 77

    def __post_init__(self) -> None:
        if self.length < 2:
            raise ConfigError(
                f"a token row of length {self.length} has no room for its beginning and end; "
                "choose a length of at least 2"
            )

    @classmethod
    def from_files(
        cls, vocab_json: str | Path, merges_txt: str | Path, length: int = 77, pad: str = EOS
    ) -> "Tokenizer":
        """From a vocabulary (a JSON object of token to id) and its merges (a pair a line).

        Raises CheckpointError where a file is missing, malformed or at odds with the other.
        """
        vocab = files.read_vocab(Path(vocab_json))
        merges = files.read_merges(Path(merges_txt), vocab)
        return cls._build(vocab, merges, plain(length, pad), Path(vocab_json))

    @classmethod
    def from_folder(cls, folder: str | Path, length: int | None = None) -> "Tokenizer":
        """From the `tokenizer` folder of a diffusers checkpoint.

        `length` overrules the folder's model_max_length; where neither says, it is 77.
        Raises CheckpointError for damaged files, ConfigError for settings that are unsupported.
        """
        folder = Path(folder)
        vocab, merges = files.read_vocab_and_merges(folder)
        return cls._build(vocab, merges, read_settings(folder, length), folder)

    @classmethod
    def clip(cls, length: int = 77, pad: str = EOS) -> "Tokenizer":
        """With the vocabulary of CLIP, OpenCLIP and Stable Diffusion: 49,408 tokens."""
        vocab, merges = files.clip_vocabulary()
        return cls._build(vocab, merges, plain(length, pad), files.CLIP_FILE)

    @classmethod
    def _build(
        cls, vocab: Mapping[str, int], merges: Merges, settings: Settings, source: Path
    ) -> "Tokenizer":
        added = number(settings, vocab, source)
        ids = {token.text: token.id for token in added}
        return cls(
            vocab,
            merges,
            tuple(added),
            bos=ids[settings.bos],
            eos=ids[settings.eos],
            unk=ids[settings.unk],
            pad=ids[settings.pad],
            length=settings.length,
        )

    def __repr__(self) -> str:
        return f"Tokenizer({len(self.vocab)} tokens, length {self.length})"

    @overload
    def __call__(self, text: str) -> list[int]: ...
    @overload
    def __call__(self, text: list[str] | tuple[str, ...]) -> list[list[int]]: ...
    def __call__(self, text: str | list[str] | tuple[str, ...]) -> list[int] | list[list[int]]:
        """One row of `length` ids for a text, a list of rows for a list of texts.

        Beginning, as many ids as fit, end, padding. Raises PromptError like `encode`.
        """
        if isinstance(text, (list, tuple)):
            return [self(one) for one in text]
        row = [self.bos, *self.encode(text)[: self.length - 2], self.eos]
        return row + [self.pad] * (self.length - len(row))

    def encode(self, text: str) -> list[int]:
        """All ids of a text, however many, without beginning, end and padding.

        Raises PromptError if `text` is not a string or holds half of a surrogate pair.
        """
        ids: list[int] = []
        spelled: dict[str, list[int]] = {}
        for piece in self._pieces(_checked(text)):
            if isinstance(piece, int):
                ids.append(piece)
                continue
            for word in words(piece):
                if word not in spelled:
                    symbols = [self.vocab.get(symbol, self.unk) for symbol in spell(word)]
                    spelled[word] = merge(symbols, self.merges)
                ids += spelled[word]
        return ids

    def _pieces(self, text: str) -> Iterator[int | str]:
        """The added tokens of a text as ids, and what is between them, normalised."""
        for run in self._verbatim.cut(text):
            if isinstance(run, int):
                yield run
            else:
                yield from self._normalised.cut(normalise(run))

    @cached_property
    def _verbatim(self) -> "_Cutter":
        return _Cutter({token.text: token.id for token in self.added if not token.normalized})

    @cached_property
    def _normalised(self) -> "_Cutter":
        return _Cutter(
            {normalise(token.text): token.id for token in self.added if token.normalized}
        )


class _Cutter:
    """Finds some texts in another, the longest where several begin."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        longest_first = sorted(ids, key=len, reverse=True)
        self.ids = ids
        self.pattern = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

    def cut(self, text: str) -> Iterator[int | str]:
        for place, piece in enumerate(self.pattern.split(text)):
            yield self.ids[piece] if place % 2 else piece  # split puts what it found at odd places


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise PromptError(f"a prompt must be a string, but got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"the prompt holds half of a surrogate pair, U+{ord(text[error.start]):04X}, at "
            f"character {error.start}: it was decoded wrongly; give the whole character"
        ) from None
    return text
