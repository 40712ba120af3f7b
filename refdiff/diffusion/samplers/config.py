"""scheduler_config.json, translated once into a sampler, or refused loudly.

The tables of the catalogue are the statement of scope: any other key, and any other value, is a
ConfigError that names key, value and class.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

from refdiff.diffusion.samplers.catalogue import BY_CLASS, BY_NAME, IGNORED
from refdiff.diffusion.samplers.entry import AnySampler, Entry
from refdiff.diffusion.samplers.keys import Key
from refdiff.diffusion.types import Dialect
from refdiff.errors import ConfigError


def names() -> tuple[str, ...]:
    """The samplers' short names, as the command line takes them."""
    return tuple(BY_NAME)


def from_config(
    config: Mapping[str, Any], dialect: Dialect = "diffusers", **options: Any
) -> AnySampler:
    """The sampler that a scheduler_config.json describes, by its `_class_name`.

    options: what diffusers takes as arguments of `step` or `set_timesteps`, such as eta=0.5.
    Raises ConfigError for a class, a key, an option or a value that is unknown or unsupported.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"the scheduler config is {_short(config)}, expected a mapping of keys to values: "
            "give the contents of a scheduler_config.json"
        )
    class_name = config.get("_class_name")
    if not isinstance(class_name, str) or class_name not in BY_CLASS:
        raise ConfigError(
            f"_class_name is {_short(class_name)} in the scheduler config, expected one of "
            f"{sorted(BY_CLASS)}: choose another sampler by its name"
        )
    entry = BY_CLASS[class_name]
    return entry.build({**_values(config, entry), **_chosen(options, entry)}, dialect)


def from_config_as(
    config: Mapping[str, Any], name: str, dialect: Dialect = "diffusers", **options: Any
) -> AnySampler:
    """Another sampler over the same schedule, as `OtherScheduler.from_config(scheduler.config)`.

    Keys that the other class reads are taken over, the rest keep that class's defaults.
    name: one of `names()` or a class name. Raises ConfigError as `from_config`.
    """
    return from_config(config_as(config, name), dialect, **options)


def config_as(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The config of another sampler over the same schedule. Raises ConfigError for a bad name."""
    entry = BY_NAME.get(name) or BY_CLASS.get(name)
    if entry is None:
        raise ConfigError(
            f"sampler {_short(name)} is unknown, expected one of {list(BY_NAME)}: choose one"
        )
    return {**config, "_class_name": entry.class_name}


def with_options(
    config: Mapping[str, Any], given: Mapping[str, Any], dialect: Dialect = "diffusers"
) -> AnySampler:
    """The sampler of a config, some of whose keys, or options beside them, are given anew.

    Raises ConfigError as `from_config`, and for a name that is neither a key nor an option.
    """
    entry = BY_CLASS.get(str(config.get("_class_name")))
    options = entry.options if entry else {}
    keys = {k: v for k, v in given.items() if k not in options}
    if entry and (strange := sorted(keys.keys() - entry.read.keys())):
        raise ConfigError(
            f"{entry.class_name} reads no {_short(strange[0])}, expected one of "
            f"{sorted({*entry.read, *options})}: choose one of these"
        )
    changed = {**config, **keys}
    if keys and isinstance(defaulted := config.get("_use_default_values"), list):
        changed["_use_default_values"] = [k for k in defaulted if k not in keys]
    return from_config(changed, dialect, **{k: v for k, v in given.items() if k in options})


def _values(config: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Every key that the class reads, checked; keys listed as defaulted keep this class's own."""
    class_name, read, neutral = entry.class_name, entry.read, entry.neutral
    defaulted = config.get("_use_default_values", [])
    if not isinstance(defaulted, list | tuple):
        raise _refusal(class_name, "_use_default_values", defaulted, "a list of keys")
    values = {key: spec.default for key, spec in read.items()}
    for key, value in config.items():
        if key in read and key not in defaulted:
            values[key] = _accepted(class_name, key, value, read[key])
        elif key in neutral and value != neutral[key] and key not in defaulted:
            raise _refusal(class_name, key, value, f"{neutral[key]!r}, all that is supported")
        elif key not in read and key not in neutral and key not in IGNORED[class_name]:
            raise ConfigError(
                f"key {_short(key)} of {class_name} is unknown, with value {_short(value)}: "
                "mend its spelling or remove it"
            )
    return values


def _chosen(options: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Every option of the class, checked."""
    values = {key: spec.default for key, spec in entry.options.items()}
    for key, value in options.items():
        if key not in entry.options:
            raise ConfigError(
                f"{entry.class_name} has no option {_short(key)}, expected one of "
                f"{sorted(entry.options)}: choose one of these, or put it into the config"
            )
        values[key] = _accepted(entry.class_name, key, value, entry.options[key])
    return values


def _accepted(class_name: str, key: str, value: Any, spec: Key) -> Any:
    if not spec.accepts(value):
        raise _refusal(class_name, key, value, spec.expected)
    return value


def _refusal(class_name: str, key: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(
        f"{key} is {_short(value)} in the config of {class_name}, expected {expected}: "
        "change it or choose another sampler"
    )


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python will not print integers of thousands of digits
        return f"a huge {type(value).__name__}"
