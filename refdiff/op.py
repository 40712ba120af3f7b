"""One operation, three faces: what it means, how it is differentiated, how it is computed fast.

    @op
    def silu(x): ...        # the definition: plain vectorised NumPy, any float dtype
    @silu.vjp
    def _(y, x): ...        # the pullback g -> (dx,)
    @silu.kernel
    def _(x): ...           # same signature; its docstring bounds its distance from the definition

`engine` chooses the face that a call takes; model code never mentions it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from refdiff.errors import ConfigError
from refdiff.workers import one_thread_of_blas

Array: TypeAlias = npt.NDArray[Any]
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

FORMATS = {  # name: bits of precision, smallest and largest exponent of a normal number
    "float32": (24, -126, 127),
    "tf32": (11, -126, 127),
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
}
_KERNEL_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Engine:
    """Which face an op shows, and to which format it rounds its result (None: not at all).

    plain: kernels sum the products that are written, and make no fewer of them (no Winograd).
    """

    name: str
    rounding: str | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        if self.name not in ("reference", "fast"):
            raise ConfigError(f"unknown engine {self.name!r}: choose 'reference' or 'fast'")
        if self.rounding is not None and self.rounding not in FORMATS:
            raise ConfigError(f"unknown rounding {self.rounding!r}: choose one of {list(FORMATS)}")
        if self.rounding is not None and self.name == "fast":
            raise ConfigError(
                "rounding needs the engine 'reference': kernels keep their own format"
            )

    def __str__(self) -> str:
        parts = [self.name]
        if self.rounding is not None:
            parts.append(f"rounding to {self.rounding}")
        if self.plain:
            parts.append("plain sums")
        return ", ".join(parts)


REFERENCE, FAST = Engine("reference"), Engine("fast")
_chosen: ContextVar[Engine | None] = ContextVar("refdiff engine", default=None)


def current_engine(default: Engine = REFERENCE) -> Engine:
    """The engine chosen by the innermost `with engine(...)`, or `default` outside of any."""
    return _chosen.get() or default


@contextmanager
def engine(name: str, rounding: str | None = None, plain: bool = False) -> Iterator[Engine]:
    """Choose the engine for the calls inside: "reference" (definitions) or "fast" (kernels).

    `rounding` ("bfloat16", "float16", "tf32", "float32") rounds the result of every op to that
    format, to nearest even, and keeps its dtype: honest narrow arithmetic on any machine.
    `plain` keeps kernels to the sums of the definition, in whatever order: no Winograd.
    Raises ConfigError for an unknown name.
    """
    token = _chosen.set(Engine(name, rounding, plain))
    try:
        yield current_engine()
    finally:
        _chosen.reset(token)


def round_to(x: Array, format: str) -> Array:
    """The nearest number of `format`, ties to even, in x's own dtype; overflow gives infinity.

    x [*] -> [*]. A number of the binade [2^(e-1), 2^e) is a multiple of 2^(e-p); below the
    smallest normal number that quantum stays constant (IEEE 754-2019 §3.3, §4.3.1).
    """
    if not np.issubdtype(x.dtype, np.floating):
        return x
    precision, smallest, largest = FORMATS[format]
    if np.finfo(x.dtype).nmant + 1 <= precision and np.finfo(x.dtype).maxexp <= largest + 1:
        return x
    wide = x.astype(np.float64)
    exponent = np.maximum(np.frexp(wide)[1], smallest + 1)
    y = np.ldexp(np.rint(np.ldexp(wide, precision - exponent)), exponent - precision)
    overflow = np.abs(y) >= 2.0 ** (largest + 1)
    y = np.where(overflow, np.copysign(np.inf, wide), y)
    return np.where(np.isfinite(wide), y, wide).astype(x.dtype)


class Op(Generic[P]):
    """One operation: its definition and, where bound, its pullback and its kernel."""

    def __init__(self, definition: Callable[P, Array]) -> None:
        update_wrapper(self, definition)
        self.name = definition.__name__
        self.definition = definition
        self.pullback: Callable[..., Any] | None = None
        self.fast: Callable[P, Array] | None = None
        self.ways: Callable[..., str] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array:
        wrappers = _wrappers.get()
        if not wrappers:
            return self._face(args, kwargs)(*args, **kwargs)
        call: Callable[..., Array] = self._compute
        for wrapper in wrappers:
            call = partial(wrapper, self, call)
        return call(*args, **kwargs)

    def _compute(self, *args: P.args, **kwargs: P.kwargs) -> Array:
        return self._face(args, kwargs)(*args, **kwargs)

    def _face(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[P, Array]:
        """The kernel where the fast engine has one and all arguments have dtypes that it knows."""
        chosen, fast = _chosen.get(), self.fast
        if fast is None or chosen is None or chosen.name != "fast":
            return self._defined
        for a in args:
            if isinstance(a, np.ndarray) and a.dtype not in _KERNEL_DTYPES:
                return self._defined
        return self._face(tuple(kwargs.values()), {}) if kwargs else fast

    def _defined(self, *args: P.args, **kwargs: P.kwargs) -> Array:
        with one_thread_of_blas():
            y = self.definition(*args, **kwargs)
        rounding = current_engine().rounding
        return y if rounding is None else round_to(y, rounding)

    def vjp(self, rule: F) -> F:
        """Bind the pullback: (y, *inputs) -> (g -> gradients of the inputs)."""
        self.pullback = rule
        return rule

    def kernel(self, fast: Callable[P, Array]) -> Callable[P, Array]:
        """Bind the fast face; its docstring's `Bound:` line is checked by the tests."""
        self.fast = fast
        return fast

    def choice(self, ways: Callable[..., str]) -> Callable[..., str]:
        """Bind what says in words which of its ways the kernel takes for such arguments."""
        self.ways = ways
        return ways

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """How the current engine would compute this, in words."""
        if self._face(args, kwargs) == self._defined:
            return "definition"
        return self.ways(*args, **kwargs) if self.ways else "kernel"

    def __repr__(self) -> str:
        return f"<op {self.name}>"


Wrapper: TypeAlias = Callable[..., Array]
_wrappers: ContextVar[tuple[Wrapper, ...]] = ContextVar("refdiff wrappers", default=())


def watched() -> bool:
    """Whether something stands around every op's call."""
    return bool(_wrappers.get())


@contextmanager
def around(wrapper: Wrapper) -> Iterator[None]:
    """Let `wrapper(op, compute, *args, **options)` stand around every op's call inside.

    What it returns is the call's result, and `compute(*args, **options)` is what the call would
    have given. Of several the innermost `with` is asked first; ops within ops are wrapped too.
    """
    token = _wrappers.set((*_wrappers.get(), wrapper))
    try:
        yield
    finally:
        _wrappers.reset(token)


REGISTRY: dict[str, Op[Any]] = {}


def op(definition: Callable[P, Array]) -> Op[P]:
    """Make a definition an operation and enter it in the registry."""
    made = Op(definition)
    REGISTRY[made.name] = made
    return made
