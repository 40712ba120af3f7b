"""config.json to a frozen dataclass: translate once, refuse loudly.

A model's `Table` classifies every key of its class. READ keys become fields. NEUTRAL keys switch
on what refdiff does not have, and are held to the values that switch nothing on. IGNORED keys
change no number in inference. The tables are the statement of scope.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from refdiff.errors import ConfigError
from refdiff.strict_json import show

# Written into every config.json by diffusers itself.
BOOKKEEPING = frozenset({"_diffusers_version", "_name_or_path"})

# Left in the config.json of a U-Net that diffusers' training scripts averaged over its steps.
MOVING_AVERAGE = frozenset(
    {
        "decay",
        "inv_gamma",
        "min_decay",
        "optimization_step",
        "power",
        "update_after_step",
        "use_ema_warmup",
    }
)


class Kind(NamedTuple):
    """Which values a key may have, in words and as a test."""

    says: str
    holds: Callable[[Any], bool]


class Key(NamedTuple):
    """A key that is read: what the class takes where it is absent, and what it may hold."""

    default: object
    kind: Kind


def whole(low: int = 1, high: int = 65536) -> Kind:
    """An integer within bounds; true and 1.0 are none."""
    return Kind(
        f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high
    )


def real(low: float, high: float) -> Kind:
    """A finite number above `low`, at most `high`; true is none."""
    return Kind(
        f"a number above {low:g}, at most {high:g}",
        lambda v: type(v) in (int, float) and low < v <= high,
    )


def choice(*values: object) -> Kind:
    """One of a few values, of the same type: true is not 1, though 1.0 is."""
    return Kind(" or ".join(map(repr, values)), lambda v: any(_same(v, value) for value in values))


def listed(kind: Kind, longest: int = 8) -> Kind:
    """A list, one entry for each level of the model."""
    return Kind(
        f"a list of 1 to {longest}, each {kind.says}",
        lambda v: isinstance(v, list) and 1 <= len(v) <= longest and all(map(kind.holds, v)),
    )


def either(a: Kind, b: Kind) -> Kind:
    """What either kind allows."""
    return Kind(f"{a.says}, or {b.says}", lambda v: a.holds(v) or b.holds(v))


TRUTH = choice(True, False)
NULL = choice(None)


@dataclass(frozen=True)
class Table:
    """How the config.json of one class is understood."""

    class_name: str
    read: Mapping[str, Key]
    neutral: Mapping[str, tuple[object, ...]]
    ignored: frozenset[str]

    def translate(self, config: Mapping[str, object], where: str) -> "Values":
        """The values of the READ keys, each of its kind, with the class's own defaults.

        Raises ConfigError for an unknown key, a NEUTRAL key that switches something on, and a
        value that is not of its key's kind.
        """
        values = Values(self.class_name, where, {k: key.default for k, key in self.read.items()})
        for key, value in config.items():
            values[key] = value
            if key in self.read:
                kind = self.read[key].kind
            elif key in self.neutral:
                kind = choice(*self.neutral[key])
            elif key in self.ignored:
                continue
            else:
                raise values.error(key, "no such key, as refdiff cannot tell what it changes")
            if not kind.holds(value):
                raise values.error(key, kind.says)
        return values


class Values(dict[str, Any]):
    """The values of one config.json, and where they are from."""

    def __init__(self, class_name: str, where: str, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.class_name = class_name
        self.where = where

    def error(self, key: str, expected: str) -> ConfigError:
        """The complaint that the value of `key` is not what is expected."""
        return ConfigError(
            f"{self.where}: {self.class_name} with {show(key)} = {show(self[key])} is not "
            f"supported; expected {expected}."
        )

    def levels(self, key: str, count: int) -> tuple[Any, ...]:
        """One entry for each of `count` levels; a single value is meant for all of them."""
        value = self[key]
        if not isinstance(value, list | tuple):
            return (value,) * count
        if len(value) != count:
            raise self.error(key, f"{count} entries, one for each of block_out_channels")
        return tuple(value)

    def check_divides(self, key: str, divisor: int, channels: int) -> None:
        """Refuse a number of groups or heads into which `channels` do not divide evenly."""
        if channels % divisor:
            raise self.error(key, f"a divisor of {channels}, one of block_out_channels")


def _same(a: object, b: object) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)
