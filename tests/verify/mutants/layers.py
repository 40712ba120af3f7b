"""Mutants of single layers: norms, activations, convolutions, products, embeddings."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from refdiff.verify.mistakes import CATALOGUE, FAMILIES
from tests.verify.mutants.mutant import Mutant, Rng, instead, setting, some

T = torch.Tensor


def rows(m: Any, x: T) -> T:
    """x as rows to be normalised: groups, or the last axis."""
    return x.reshape(len(x), m.num_groups, -1) if hasattr(m, "num_groups") else x


def affine(m: Any, y: T, like: T) -> T:
    if not hasattr(m, "num_groups"):
        return y * m.weight + m.bias
    axes = (-1,) + (1,) * (like.ndim - 2)
    return y.reshape(like.shape) * m.weight.view(axes) + m.bias.view(axes)


def normed(formula: Callable[[T, float], T]) -> Callable[[Any], Any]:
    """A norm by another formula of (rows, eps)."""
    return lambda m: lambda x: affine(m, formula(rows(m, x), m.eps), x)


def var(x: T, unbiased: bool = False) -> T:
    return x.var(-1, unbiased=unbiased, keepdim=True)


def centred(x: T) -> T:
    return x - x.mean(-1, keepdim=True)


FORMULAS = {
    "unbiased": lambda x, eps: centred(x) / torch.sqrt(var(x, True) + eps),
    "eps-outside": lambda x, eps: centred(x) / (torch.sqrt(var(x)) + eps),
    "no-mean": lambda x, eps: x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps),
    "no-root": lambda x, eps: centred(x) / (var(x) + eps),
}
WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "no-affine": lambda m: (torch.ones_like(m.weight), torch.zeros_like(m.bias)),
    "no-shift": lambda m: (m.weight, torch.zeros_like(m.bias)),
    "no-scale": lambda m: (torch.ones_like(m.weight), m.bias),
    "swapped": lambda m: (m.bias, m.weight),
    "one-plus": lambda m: (1 + m.weight, m.bias),
}


def reweighted(kind: str, change: Callable[[Any], Any]) -> Any:
    def plant(model: Any, rng: Rng) -> str:
        name, m = some(model, rng, kind)
        weight, bias = (p.detach().clone() for p in change(m))
        m.weight.data, m.bias.data = weight, bias
        return name

    return plant


def known(op: str, eps: float) -> tuple[str, ...]:
    """What an eps may be called: itself, where the catalogue lists it, or one that was fitted."""
    return tuple(id for id in (f"{op}/eps", f"{op}/eps-{eps:g}") if id in {*CATALOGUE, *FAMILIES})


def norm_mutants(kind: str, op: str, model: str) -> list[Mutant]:
    eps = 1e-3 if model == "text" else 1e-6 if op == "layer_norm" else 3e-5
    made = [
        Mutant(f"{op} eps", model, setting(kind, eps=eps), known(op, eps)),
        Mutant(f"{op} left out", model, instead(kind, lambda m: lambda x: x), (f"{op}/skipped",)),
    ]
    made += [
        Mutant(f"{op} {name}", model, instead(kind, normed(formula)), (f"{op}/{name}",))
        for name, formula in FORMULAS.items()
    ]
    made += [
        Mutant(f"{op} {name}", model, reweighted(kind, change), (f"{op}/{name}",))
        for name, change in WEIGHTS.items()
    ]
    return made


def regrouped(groups: Callable[[Any], int]) -> Any:
    return lambda m: lambda x: F.group_norm(x, groups(m), m.weight, m.bias, m.eps)


def by_pixel(m: Any) -> Any:
    def forward(x: T) -> T:
        y = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, False, keepdim=True) + m.eps)
        return affine(m, y, x)

    return forward


def strided(m: Any) -> Any:
    def forward(x: T) -> T:
        order = torch.arange(x.shape[1]).view(-1, m.num_groups).T.reshape(-1)
        y = F.group_norm(x[:, order], m.num_groups, m.weight[order], m.bias[order], m.eps)
        return y[:, order.argsort()]

    return forward


def convolved(change: Callable[[Any, T], T]) -> Any:
    return lambda m: lambda x: change(m, x)


def conv(m: Any, x: T, **o: Any) -> T:
    """The module's convolution, some of it otherwise."""
    own = {"weight": m.weight, "bias": m.bias, "stride": m.stride, "padding": m.padding}
    return F.conv2d(x, **{**own, **o})


def padded(mode: str) -> Any:
    def change(m: Any, x: T) -> T:
        p = m.padding[0]
        return conv(m, F.pad(x, (p, p, p, p), mode=mode), padding=0)

    return change


def three(name: str, m: Any) -> bool:
    return m.kernel_size == (3, 3) and m.stride == (1, 1)


def square(name: str, m: Any) -> bool:
    return three(name, m) and m.in_channels == m.out_channels


def strides(name: str, m: Any) -> bool:
    return m.stride == (2, 2)


def square_linear(name: str, m: Any) -> bool:
    return m.in_features == m.out_features


def oblong(name: str, m: Any) -> bool:
    return m.in_features != m.out_features


CONV: list[tuple[str, Any, Any]] = [
    ("no-bias", lambda m, x: conv(m, x, bias=None), three),
    ("bias-twice", lambda m, x: conv(m, x, bias=2 * m.bias), three),
    ("bias-subtracted", lambda m, x: conv(m, x, bias=-m.bias), three),
    ("flipped", lambda m, x: conv(m, x, weight=m.weight.flip(2, 3)), three),
    ("kernel-turned", lambda m, x: conv(m, x, weight=m.weight.transpose(2, 3)), three),
    ("transposed", lambda m, x: conv(m, x, weight=m.weight.transpose(0, 1)), square),
    ("padded-reflect", padded("reflect"), three),
    ("padded-edge", padded("replicate"), three),
    ("padded-wrap", padded("circular"), three),
    ("dilated", lambda m, x: conv(m, x, padding=2, dilation=2), three),
    ("padded-below", lambda m, x: conv(m, F.pad(x, (0, 1, 0, 1)), padding=0), strides),
    ("doubled", lambda m, x: 2 * conv(m, x), three),
]
LINEAR: list[tuple[str, Any, Any]] = [
    ("no-bias", lambda m, x: F.linear(x, m.weight), lambda n, m: m.bias is not None),
    ("transposed", lambda m, x: F.linear(x, m.weight.T, m.bias), square_linear),
    ("reread", lambda m, x: F.linear(x, m.weight.T.reshape(m.weight.shape), m.bias), oblong),
    ("doubled", lambda m, x: 2 * F.linear(x, m.weight, m.bias), lambda n, m: True),
]
SILU: list[tuple[str, Any]] = [
    ("relu", F.relu),
    ("gelu", F.gelu),
    ("none", lambda x: x),
    ("sigmoid", torch.sigmoid),
    ("quick-gelu", lambda x: x * torch.sigmoid(1.702 * x)),
]
TEXT_ACTIVATIONS: list[tuple[str, Any]] = [
    ("gelu", F.gelu),
    ("gelu-tanh", lambda x: F.gelu(x, approximate="tanh")),
    ("silu", F.silu),
    ("relu", F.relu),
]


def geglu(gate: Callable[[T, T], T]) -> Any:
    """GEGLU by another formula of the halves."""
    return instead("GEGLU", lambda m: lambda x: gate(*m.proj(x).chunk(2, -1)))


def interleaved(m: Any) -> Any:
    def forward(x: T) -> T:
        y = m.proj(x)
        return y[..., ::2] * F.gelu(y[..., 1::2])

    return forward


def places(change: Callable[[T, int], T]) -> Any:
    """The text encoder's position (or token) ids, otherwise."""

    def make(m: Any) -> Any:
        return lambda ids: F.embedding(change(ids, len(m.weight)), m.weight)

    return make


LAYERS: list[Mutant] = [
    *norm_mutants("GroupNorm", "group_norm", "unet"),
    *norm_mutants("LayerNorm", "layer_norm", "unet"),
    Mutant(
        "group_norm eps in the decoder",
        "decoder",
        setting("GroupNorm", eps=1e-5),
        ("group_norm/eps", "group_norm/eps-1e-05"),
    ),
    Mutant(
        "layer_norm eps in the text encoder",
        "text",
        setting("LayerNorm", eps=1e-6),
        ("layer_norm/eps", "layer_norm/eps-1e-06"),
    ),
    Mutant(
        "one group",
        "unet",
        instead("GroupNorm", regrouped(lambda m: 1)),
        ("group_norm/one-group", "group_norm/half-the-groups"),
    ),
    Mutant(
        "a group for each channel",
        "decoder",
        instead("GroupNorm", regrouped(lambda m: m.num_channels)),
        ("group_norm/a-group-each", "group_norm/twice-the-groups"),
    ),
    Mutant("strided groups", "unet", instead("GroupNorm", strided), ("group_norm/strided",)),
    Mutant("normalised by pixel", "unet", instead("GroupNorm", by_pixel), ("group_norm/by-pixel",)),
    *(
        Mutant(
            f"silu {name}",
            "unet",
            instead("SiLU", lambda m, f=f: f),
            (f"silu/{name}", "silu/steepness"),
        )
        for name, f in SILU
    ),
    *(
        Mutant(
            f"quick_gelu {name}",
            "text",
            instead("QuickGELUActivation", lambda m, f=f: f),
            (f"quick_gelu/{name}",),
        )
        for name, f in TEXT_ACTIVATIONS
    ),
    Mutant(
        "geglu tanh",
        "unet",
        geglu(lambda a, b: a * F.gelu(b, approximate="tanh")),
        ("gelu/gelu-tanh",),
    ),
    Mutant(
        "geglu quick",
        "unet",
        geglu(lambda a, b: a * b * torch.sigmoid(1.702 * b)),
        ("gelu/quick-gelu",),
    ),
    Mutant("geglu swapped", "unet", geglu(lambda a, b: b * F.gelu(a)), ("geglu/swapped",)),
    Mutant("geglu silu", "unet", geglu(lambda a, b: a * F.silu(b)), ("geglu/silu", "gelu/silu")),
    Mutant("geglu no gate", "unet", geglu(lambda a, b: F.gelu(a)), ("geglu/no-gate",)),
    Mutant("geglu interleaved", "unet", instead("GEGLU", interleaved), ("geglu/interleaved",)),
    *(
        Mutant(
            f"conv2d {name}",
            "unet",
            instead("Conv2d", convolved(change), fits),
            (f"conv2d/{name}", *(("conv2d/shifted",) if name == "padded-below" else ())),
        )
        for name, change, fits in CONV
    ),
    Mutant(
        "encoder pads both sides",
        "encoder",
        instead("Downsample2D", lambda m: lambda x, *_: conv(m.conv, x, padding=1)),
        ("conv2d/padded-both-sides", "conv2d/padded-above", "conv2d/padded-wrap"),
    ),
    *(
        Mutant(
            f"linear {name}",
            "unet",
            instead("Linear", convolved(change), fits),
            (f"linear/{name}",),
        )
        for name, change, fits in LINEAR
    ),
    Mutant(
        "post_quant_conv left out",
        "decoder",
        instead("Conv2d", lambda m: lambda x: x, lambda n, m: n == "post_quant_conv"),
        ("conv2d/left-out",),
    ),
    Mutant(
        "positions one too high",
        "text",
        instead("Embedding", places(lambda ids, n: (ids + 1) % n), lambda n, m: "position" in n),
        ("embedding/next-row",),
    ),
    Mutant(
        "tokens one too low",
        "text",
        instead("Embedding", places(lambda ids, n: (ids - 1) % n), lambda n, m: "token" in n),
        ("embedding/row-before",),
    ),
]
