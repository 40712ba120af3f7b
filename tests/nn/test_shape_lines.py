"""The shape lines of the networks' docstrings against every call of a real forward.

`x [N,C,H,W], temb [N,T] -> [N,O,H,W]`: the number of axes, and equal letters for equal sizes.
"""

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import refdiff.nn
from refdiff.components import VAE, TextEncoder, UnconditionalUNet, UNet
from tests.nn import oracle

MODULES = [
    importlib.import_module(f"refdiff.nn.{info.name}")
    for info in pkgutil.iter_modules(refdiff.nn.__path__)
]
LABEL = re.compile(r"(\w+) \[([^\]]*)\]")


def checked(f: Callable[..., Any], seen: set[str]) -> Callable[..., Any]:
    """f, which compares its docstring with what it is called with and what it returns."""
    doc = next((x for x in (f.__doc__ or "").splitlines() if "] -> " in x or "], " in x), "")
    before, arrow, after = doc.partition("->")
    signature = inspect.signature(f)

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        y = f(*args, **options)
        given = signature.bind(*args, **options).arguments
        sizes: dict[str, int] = {}
        for name, dims in LABEL.findall(before):
            # "t [] or [N]" leaves the number of axes open
            if dims and isinstance(given.get(name), np.ndarray):
                assert fits(dims, given[name].shape, sizes), (f.__name__, doc, given[name].shape)
        first = y[0] if isinstance(y, tuple) else y
        answer = re.search(r"\[([^\]]*)\]", after)
        if answer and isinstance(first, np.ndarray):
            assert fits(answer[1], first.shape, sizes), (f.__name__, doc, first.shape)
            seen.add(f.__name__)
        return y

    return wrapped if arrow else f


def fits(dims: str, shape: tuple[int, ...], sizes: dict[str, int]) -> bool:
    """Whether `shape` can be `dims`: * any axes, single letters one size, anything else free."""
    names = [d for d in dims.split(",") if d]
    if "*" in names:
        i = names.index("*")
        tail = len(names) - i - 1
        if len(shape) < i + tail:
            return False
        shape = shape[:i] + (shape[-tail:] if tail else ())
        names.remove("*")
    if len(names) != len(shape):
        return False
    letters = [(d, n) for d, n in zip(names, shape, strict=True) if len(d) == 1 and d.isalpha()]
    return all(sizes.setdefault(letter, n) == n for letter, n in letters)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every function of the networks watched, wherever it was imported to."""
    seen: set[str] = set()
    wrapped: dict[int, Any] = {}
    for module in [*MODULES, importlib.import_module("refdiff.components")]:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value.__module__.startswith("refdiff.nn"):
                new = wrapped.setdefault(id(value), checked(value, seen))
                monkeypatch.setattr(module, name, new)
    return seen


def test_shape_lines_are_true(watched: set[str]) -> None:
    for seed in range(3):
        rng = oracle.RNG(seed)
        config, options = oracle.draw_unet(rng)
        side = 2 ** (len(config.channels) - 1)
        x = rng.normal(size=(2, config.in_channels, side, 3 * side))
        context = rng.normal(size=(2, 5, config.context))
        UNet(config, weights(oracle.UNet, options))(x, np.array([1, 2]), context)
        config, options = oracle.draw_unconditional(rng)
        x = rng.normal(size=(2, config.in_channels, 4, 12))
        UnconditionalUNet(config, weights(oracle.UnconditionalUNet, options))(x, 3)
        config, options = oracle.draw_vae(rng)
        vae = VAE(config, weights(oracle.VAE, options))
        mean, _ = vae.encode(rng.normal(size=(2, config.in_channels, 8, 12)))
        vae.decode(mean)
        config, options = oracle.draw_clip(rng)
        text = TextEncoder(config, weights(oracle.CLIP, options, "text_model."))
        text(rng.integers(0, config.vocab, (2, config.positions)))
    assert len(watched) >= 25, watched


def weights(cls: Any, options: Any, prefix: str = "") -> Any:
    module = oracle.build(cls, options, 0, oracle.torch.float64)
    return oracle.params(module, prefix).weights.source


def test_the_watcher_can_say_no() -> None:
    def double(x: np.ndarray) -> np.ndarray:
        """x [N,C] -> [N,C]"""
        return np.concatenate([x, x])

    with pytest.raises(AssertionError, match="double"):
        checked(double, set())(np.zeros((2, 3)))
    assert fits("N,*,C", (1, 2, 3, 4), {}) and not fits("N,*,C", (1,), {})
    assert not fits("N,C", (1, 2, 3), {}) and not fits("N,N", (1, 2), {})
