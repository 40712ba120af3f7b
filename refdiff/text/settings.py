"""Which tokens are special, and how long a row is: what a tokenizer folder says beside its words.

The rules, and which file wins, are those of transformers 5.23 (tokenization_utils_base.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CheckpointError, ConfigError
from .files import BOS, EOS, read_json

DEFAULT_LENGTH = 77
LONGEST = 65_536  # a longer model_max_length (1e30 is common) says that none was set

DEFAULTS = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS}
READ = {"model_max_length", "added_tokens_decoder", *DEFAULTS}
NEUTRAL: dict[str, tuple[object, ...]] = {
    "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "padding_side": ("right",),
    "truncation_side": ("right",),
    "split_special_tokens": (False,),
    "additional_special_tokens": (None, []),
    "extra_special_tokens": (None, [], {}),
    "sep_token": (None,),
    "cls_token": (None,),
    "mask_token": (None,),
}
IGNORED = {
    "__type", "_from_auto", "_name_or_path", "add_prefix_space", "auto_map", "backend",
    "chat_template", "clean_up_tokenization_spaces", "do_lower_case", "errors", "is_local",
    "local_files_only", "model_input_names", "name_or_path", "processor_class",
    "special_tokens_map_file", "tokenizer_file", "use_fast", "verbose",
}  # fmt: skip


class AddedToken(NamedTuple):
    """A token that is recognised as it stands; if `normalized`, in the normalised prompt."""

    text: str
    id: int
    normalized: bool


@dataclass(frozen=True)
class Settings:
    """The four roles, the added tokens (text to `normalized`), and ids stated for added tokens."""

    length: int = DEFAULT_LENGTH
    bos: str = BOS
    eos: str = EOS
    unk: str = EOS
    pad: str = EOS
    added: Mapping[str, bool] = field(default_factory=dict)
    stated: Mapping[str, int] = field(default_factory=dict)


def plain(length: int, pad: str) -> Settings:
    """CLIP's own special tokens, with a choice of padding."""
    return Settings(length, pad=pad, added=dict.fromkeys((BOS, EOS, pad), False))


def number(settings: Settings, vocab: Mapping[str, int], source: Path) -> list[AddedToken]:
    """Give every added token its id: the vocabulary's, or the next one free.

    Raises CheckpointError for a token that neither the vocabulary nor the settings have an id for,
    and where the id stated is not the next one free.
    """
    added, free, taken = [], len(vocab), set(vocab.values())
    for text, normalized in settings.added.items():
        id_ = vocab.get(text, settings.stated.get(text))
        if id_ is None or (text == settings.unk and text not in vocab):
            raise CheckpointError(
                f"{source} lacks the special token {text!r}; fetch the tokenizer's files again"
            )
        if text not in vocab:
            if id_ != free or free in taken:
                raise CheckpointError(
                    f"the added token {text!r} has the id {id_}, but the next free id after "
                    f"{source} is {free}; fetch the tokenizer's files again"
                )
            free += 1
        added.append(AddedToken(text, id_, normalized))
    return added


def read_settings(folder: Path, length: int | None) -> Settings:
    """What tokenizer_config.json and the files of special and added tokens say, where there.

    `length` overrules the folder. Raises CheckpointError and ConfigError, naming file and key.
    """
    config = _read(folder / "tokenizer_config.json")
    if "added_tokens_decoder" in config:
        declared = _from_decoder(config["added_tokens_decoder"], folder / "tokenizer_config.json")
    else:
        config |= _read(folder / "special_tokens_map.json")
        declared = _from_files(folder, config)
    _check_keys(config, folder)
    found = {role: _token(config.get(role) or text, folder) for role, text in DEFAULTS.items()}
    # Of several with one text the last decides, but an exact repetition does not count again.
    named = {token.text: token.normalized for token in dict.fromkeys(found.values())}
    known = {token.text: token.normalized for token in declared.values()}
    bos, eos, unk, pad = (found[role].text for role in DEFAULTS)
    return Settings(
        _length(config.get("model_max_length"), folder) if length is None else length,
        bos,
        eos,
        unk,
        pad,
        added={**known, **named, **known},
        stated={token.text: id_ for id_, token in declared.items()},
    )


class _Token(NamedTuple):
    text: str
    normalized: bool
    bare: bool = False


def _from_decoder(decoder: Any, path: Path) -> dict[int, _Token]:
    if not isinstance(decoder, dict) or not all(key.isdecimal() for key in decoder):
        raise CheckpointError(
            f"{path}: added_tokens_decoder holds {decoder!r:.80}, but an object of id to token was "
            "expected; fetch the tokenizer's files again"
        )
    return {int(id_): _token(decoder[id_], path) for id_ in sorted(decoder, key=int)}


def _from_files(folder: Path, config: Mapping[str, Any]) -> dict[int, _Token]:
    """The older ways to add tokens: added_tokens.json, then tokenizer.json."""
    special = {_token(config.get(role) or text, folder).text for role, text in DEFAULTS.items()}
    extra, path = _read(folder / "added_tokens.json"), folder / "tokenizer.json"
    entries = [
        *({"content": text, "id": id_, "normalized": text not in special}
          for text, id_ in extra.items()),
        *_list(_read(path).get("added_tokens", []), path),
    ]  # fmt: skip
    declared = {}
    for entry in entries:
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if type(id_) is not int or id_ < 0:
            raise CheckpointError(
                f"{folder}: the added token {entry!r:.80} has no id from 0 up; fetch "
                "added_tokens.json and tokenizer.json again"
            )
        declared[id_] = _token(entry, folder)
    return declared


def _token(value: Any, where: Path) -> _Token:
    if isinstance(value, str) and value:
        return _Token(value, normalized=False, bare=True)
    text = value.get("content") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text:
        raise CheckpointError(
            f"{where}: {value!r:.80} is not a token: a string, or an object with a string as its "
            "content, was expected; fetch the tokenizer's files again"
        )
    if value.get("single_word"):
        raise ConfigError(
            f"{where}: the token {text!r} sets single_word, which is not supported; set it to false"
        )
    # lstrip and rstrip take in white space beside the token, which never becomes an id anyway.
    return _Token(text, normalized=bool(value.get("normalized", False)))


def _length(stated: Any, folder: Path) -> int:
    if stated is None:
        return DEFAULT_LENGTH
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated >= 2:
        raise CheckpointError(
            f"{folder}: model_max_length is {stated!r}, but a number of tokens from 2 up was "
            "expected; mend tokenizer_config.json"
        )
    return int(stated) if stated <= LONGEST else DEFAULT_LENGTH


def _check_keys(config: Mapping[str, Any], folder: Path) -> None:
    for key, value in config.items():
        if key in NEUTRAL and value not in NEUTRAL[key]:
            raise ConfigError(
                f"{folder}: {key} is {value!r:.80}, but CLIP's tokenizer supports only "
                f"{NEUTRAL[key][0]!r}; convert the tokenizer first"
            )
        if key not in {*READ, *NEUTRAL, *IGNORED}:
            raise ConfigError(
                f"{folder}: the setting {key} ({value!r:.80}) is unknown, so that the ids might be "
                "wrong; remove it from tokenizer_config.json if it has no effect on them"
            )


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _list(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise CheckpointError(
            f"{path}: added_tokens holds {value!r:.80}, but a list was expected; fetch it again"
        )
    return value
