"""For every op: arguments drawn at random, PyTorch's answer, and what its bound speaks of.

Sizes separate mistakes: H != W, heads != widths, odd and single, batches of different samples.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Positional arguments by name, options, and further names for the Bound line."""

    args: Arrays
    options: Arrays = field(default_factory=dict)
    names: Arrays = field(default_factory=dict)

    def call(self, face: Callable[..., Any], dtype: Any) -> np.ndarray:
        """What `face` makes of the arguments in `dtype`."""
        return face(*(cast(a, dtype) for a in self.args.values()), **self.options)

    def torch(self, oracle: Callable[..., Any], dtype: Any) -> np.ndarray:
        """What PyTorch makes of them."""
        tensors = (None if a is None else torch.tensor(cast(a, dtype)) for a in self.args.values())
        return oracle(*tensors, **self.options).numpy()


def cast(a: Any, dtype: Any) -> Any:
    return a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


def corner(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Now and then what real activations do: a large offset, tiny or huge values, a constant."""
    kind = rng.integers(8)
    x = x + 30 if kind == 0 else x * 1e-3 if kind == 1 else x * 20 if kind == 2 else x
    if kind == 3:
        x[..., 0] = 0.5
    return x


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    # float32 values, so that every precision starts from the same numbers
    return rng.normal(size=shape).astype(np.float32).astype(np.float64)


def size(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def draw_conv2d(rng: np.random.Generator) -> Case:
    groups, c, o = size(rng, 1, 3), size(rng, 1, 5), size(rng, 1, 4)
    k, m, dilation, stride = size(rng, 1, 4), size(rng, 1, 3), size(rng, 1, 2), size(rng, 1, 3)
    padding: Any = size(rng, 0, 2) if rng.random() < 0.5 else tuple(map(int, rng.integers(0, 3, 4)))
    if rng.random() < 0.2:  # what is computed by tiles
        groups, k, m, dilation, stride, c = 1, 3, 3, 1, 1, size(rng, 1, 20)
    high, wide = size(rng, 1, 21), size(rng, 1, 20)
    if rng.random() < 0.2:  # fewer pixels than filters
        o, high, wide = size(rng, 20, 40), size(rng, 1, 4), size(rng, 1, 4)
    H, W = dilation * (k - 1) + high, dilation * (m - 1) + wide
    x = corner(rng, normal(rng, size(rng, 1, 3), groups * c, H, W))
    b = normal(rng, groups * o) if rng.random() < 0.7 else None
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    args = {"x": x, "w": normal(rng, groups * o, c, k, m), "b": b}
    return Case(args, options, {"options": options})


def torch_conv2d(x: Any, w: Any, b: Any, *, padding: Any, **options: Any) -> Any:
    top, bottom, left, right = (padding,) * 4 if isinstance(padding, int) else padding
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, **options)


def draw_linear(rng: np.random.Generator) -> Case:
    i, o = size(rng, 1, 40), size(rng, 1, 50)  # more than one panel of a kernel's
    x = corner(rng, normal(rng, *rng.integers(1, 13, size(rng, 0, 3)), i))
    return Case(
        {"x": x, "w": normal(rng, o, i), "b": normal(rng, o) if rng.random() < 0.7 else None}
    )


def draw_group_norm(rng: np.random.Generator) -> Case:
    groups, c = size(rng, 1, 4), size(rng, 1, 4)
    tail = rng.integers(1, 6, 2) if rng.random() < 0.8 else rng.integers(2, 100, 1)
    x = corner(rng, normal(rng, size(rng, 1, 3), groups * c, *tail))
    args = {"x": x, "gamma": normal(rng, groups * c) + 1.5, "beta": normal(rng, groups * c)}
    eps = float(rng.choice([1e-3, 1e-5, 1e-6]))
    channel = (-1,) + (1,) * len(tail)
    names = spread(x.reshape(len(x), groups, -1), eps)
    names["spread"] = np.repeat(names["spread"], c, 1).reshape(len(x), groups * c, *[1] * len(tail))
    names |= {"g": args["gamma"].reshape(channel), "b": args["beta"].reshape(channel)}
    return Case(args, {"groups": groups, "eps": eps}, names)


def torch_group_norm(x: Any, gamma: Any, beta: Any, *, groups: int, eps: float) -> Any:
    return (
        F.group_norm(x, groups, gamma, beta, eps)
        if x[0].numel() > groups
        else beta.expand_as(x.transpose(1, -1)).transpose(1, -1).contiguous()
    )


def spread(rows: np.ndarray, eps: float) -> Arrays:
    deviation = np.sqrt(rows.var(-1, keepdims=True) + eps)
    return {"n": rows.shape[-1], "spread": abs(rows).max(-1, keepdims=True) / deviation}


def draw_layer_norm(rng: np.random.Generator) -> Case:
    D, eps = size(rng, 2, 40), float(rng.choice([1e-3, 1e-5, 1e-6]))
    x = corner(rng, normal(rng, *rng.integers(1, 5, size(rng, 1, 3)), D))
    args = {"x": x, "gamma": normal(rng, D) + 1.5, "beta": normal(rng, D)}
    return Case(args, {"eps": eps}, spread(x, eps) | {"g": args["gamma"], "b": args["beta"]})


def torch_layer_norm(x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    return F.layer_norm(x, gamma.shape, gamma, beta, eps)


def draw_elementwise(rng: np.random.Generator) -> Case:
    x = normal(rng, *rng.integers(1, 6, size(rng, 1, 4))) * rng.choice([1.0, 6.0, 40.0])
    x.flat[0] = 1  # so that the result has a scale: torch loses the far tail of gelu altogether
    return Case({"x": x.astype(np.float32).astype(np.float64)})


def draw_geglu(rng: np.random.Generator) -> Case:
    x = 4 * normal(rng, *rng.integers(1, 5, size(rng, 0, 2)), 2 * size(rng, 1, 9))
    x[..., -1] = 1  # an open gate: torch loses the far tail of gelu altogether
    value, gate = np.split(x, 2, -1)
    return Case({"x": x}, names={"value": value, "gate": gate})


def torch_geglu(x: Any) -> Any:
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


def draw_softmax(rng: np.random.Generator) -> Case:
    return Case(
        {"x": 3 * corner(rng, normal(rng, *rng.integers(1, 5, size(rng, 0, 2)), size(rng, 1, 33)))}
    )


def draw_attention(rng: np.random.Generator) -> Case:
    lead = tuple(rng.integers(1, 4, size(rng, 1, 2)))
    L, S, d, e = size(rng, 1, 20), size(rng, 1, 40), size(rng, 1, 20), size(rng, 1, 20)
    q, k = 2 * normal(rng, *lead, L, d), normal(rng, *lead, S, d)
    mask = None
    if rng.random() < 0.5:  # at least one key stays visible to each query
        mask = np.where(rng.random((L, S)) < 0.4, -np.inf, normal(rng, L, S))
        mask[np.arange(L), rng.integers(0, S, L)] = 0.0
        if rng.random() < 0.3:  # a mask of its own for each head
            mask = mask + normal(rng, *lead, 1, 1)
        mask = mask.astype(np.float32).astype(np.float64)
    reach = (abs(q) @ abs(k).swapaxes(-1, -2)).max() / np.sqrt(d)
    reach += 0 if mask is None else abs(mask[np.isfinite(mask)]).max()
    args = {"q": q, "k": k, "v": normal(rng, *lead, S, e), "mask": mask}
    return Case(args, names={"reach": reach})


def draw_embedding(rng: np.random.Generator) -> Case:
    table = normal(rng, size(rng, 1, 20), size(rng, 1, 7))
    return Case({"ids": rng.integers(0, len(table), rng.integers(1, 6, 2)), "table": table})


def draw_timestep_embedding(rng: np.random.Generator) -> Case:
    options = {
        "flip_sin_to_cos": bool(rng.integers(2)),
        "freq_shift": float(rng.choice([0, 1, 0.5])),
        "max_period": float(rng.choice([10000.0, 100.0])),
    }
    t = rng.integers(0, 1000, size(rng, 1, 4)).astype(np.float64)
    return Case({"t": t, "width": size(rng, 4, 33)}, options)


def torch_timestep_embedding(
    t: Any, width: int, *, flip_sin_to_cos: bool, freq_shift: float, max_period: float
) -> Any:
    half = int(width) // 2
    f = torch.tensor(max_period, dtype=torch.float64) ** (
        -torch.arange(half, dtype=torch.float64) / (half - freq_shift)
    )
    waves = torch.outer(t.double(), f)
    waves = [waves.cos(), waves.sin()] if flip_sin_to_cos else [waves.sin(), waves.cos()]
    return F.pad(torch.cat(waves, -1), (0, int(width) % 2))


def draw_upsample(rng: np.random.Generator) -> Case:
    H, W = size(rng, 1, 7), size(rng, 1, 7)
    # what a U-Net asks for: twice the size, or one less after an odd picture was halved
    target = (2 * H - size(rng, 0, int(H > 1)), 2 * W - size(rng, 0, int(W > 1)))
    return Case({"x": normal(rng, size(rng, 1, 3), size(rng, 1, 3), H, W)}, {"size": target})


def torch_upsample(x: Any, *, size: tuple[int, int]) -> Any:
    return F.interpolate(x, size=size, mode="nearest")


def draw_concat(rng: np.random.Generator) -> Case:
    N, tail = size(rng, 1, 3), rng.integers(1, 5, 2)
    return Case({n: normal(rng, N, size(rng, 1, 4), *tail) for n in ("x", "y")})


def draw_add(rng: np.random.Generator) -> Case:
    N, C, *size_ = (size(rng, 1, 4) for _ in range(4))
    y = (N, C, 1, 1) if rng.random() < 0.5 else (N, C, *size_)
    return Case({"x": normal(rng, N, C, *size_), "y": normal(rng, *y)})


DRAW: dict[str, Callable[[np.random.Generator], Case]] = {
    "add": draw_add,
    "attention": draw_attention,
    "concat": draw_concat,
    "conv2d": draw_conv2d,
    "embedding": draw_embedding,
    "geglu": draw_geglu,
    "gelu": draw_elementwise,
    "gelu_tanh": draw_elementwise,
    "group_norm": draw_group_norm,
    "layer_norm": draw_layer_norm,
    "linear": draw_linear,
    "quick_gelu": draw_elementwise,
    "silu": draw_elementwise,
    "softmax": draw_softmax,
    "timestep_embedding": draw_timestep_embedding,
    "upsample_nearest": draw_upsample,
}
ORACLE: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "attention": lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
    "concat": lambda x, y: torch.cat([x, y], 1),
    "conv2d": torch_conv2d,
    "embedding": F.embedding,
    "geglu": torch_geglu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "group_norm": torch_group_norm,
    "layer_norm": torch_layer_norm,
    "linear": F.linear,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "softmax": lambda x: torch.softmax(x, -1),
    "timestep_embedding": torch_timestep_embedding,
    "upsample_nearest": torch_upsample,
}
