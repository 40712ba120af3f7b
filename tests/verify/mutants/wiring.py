"""Mutants of how layers are put together: attention, residuals, skips, resizing, the time."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from tests.verify.mutants.mutant import Mutant, Rng, instead, patched, setting, some

T = torch.Tensor
Attend = Callable[[T, T, T], T]


class Processor:
    """diffusers' attention, whose middle is a function of q, k, v [N,h,L,d]."""

    def __init__(self, attend: Attend) -> None:
        self.attend = attend

    def __call__(
        self, attn: Any, hidden_states: T, encoder_hidden_states: Any = None, **_: Any
    ) -> T:
        x = hidden_states
        context = x if encoder_hidden_states is None else encoder_hidden_states

        def split(y: T) -> T:
            return y.view(len(y), y.shape[1], attn.heads, -1).transpose(1, 2)

        q, k, v = split(attn.to_q(x)), split(attn.to_k(context)), split(attn.to_v(context))
        y = self.attend(q, k, v).transpose(1, 2).reshape(len(x), x.shape[1], -1)
        return attn.to_out[1](attn.to_out[0](y))


def attending(
    attend: Attend, fits: Callable[[str, Any], bool] = lambda n, m: True
) -> Callable[[Any, Rng], str]:
    def plant(model: Any, rng: Rng) -> str:
        name, module = some(model, rng, "Attention", fits)
        module.set_processor(Processor(attend))
        return name

    return plant


def merged(x: T) -> T:
    return x.transpose(1, 2).reshape(len(x), x.shape[2], -1)


def resplit(q: T, k: T, v: T, heads: int) -> T:
    def split(x: T) -> T:
        return merged(x).view(len(x), x.shape[2], heads, -1).transpose(1, 2)

    y = merged(F.scaled_dot_product_attention(split(q), split(k), split(v)))
    return y.view(len(y), y.shape[1], q.shape[1], -1).transpose(1, 2)


def innermost(q: T, k: T, v: T) -> T:
    N, h, L, d = q.shape

    def inner(x: T) -> T:
        return merged(x).view(N, x.shape[2], d, h).permute(0, 3, 1, 2)

    y = F.scaled_dot_product_attention(inner(q), inner(k), inner(v))
    return y.permute(0, 2, 3, 1).reshape(N, L, h, d).transpose(1, 2)


def unmerged(q: T, k: T, v: T) -> T:
    y = sdpa(q, k, v)
    N, h, L, d = y.shape
    return y.reshape(N, L, h, d).transpose(1, 2)


def over_queries(q: T, k: T, v: T) -> T:
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -2) @ v


sdpa = F.scaled_dot_product_attention


def many(name: str, m: Any) -> bool:
    return m.heads > 1


def crossing(name: str, m: Any) -> bool:
    return name.endswith("attn2")


def alone(name: str, m: Any) -> bool:
    return name.endswith("attn1")


ATTENTION: list[tuple[str, Attend, Any, tuple[str, ...]]] = [
    (
        "no scale",
        lambda q, k, v: sdpa(q, k, v, scale=1.0),
        many,
        ("attention/no-scale", "attention/scale"),
    ),
    (
        "scaled twice",
        lambda q, k, v: sdpa(q, k, v, scale=1 / q.shape[-1]),
        many,
        ("attention/scaled-twice", "attention/scale"),
    ),
    (
        "scaled by the model's width",
        lambda q, k, v: sdpa(q, k, v, scale=(q.shape[1] * q.shape[3]) ** -0.5),
        many,
        ("attention/model-width", "attention/scale"),
    ),
    ("softmax over queries", over_queries, alone, ("attention/softmax-over-queries",)),
    (
        "no softmax",
        lambda q, k, v: q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 @ v,
        alone,
        ("attention/no-softmax",),
    ),
    ("causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), alone, ("attention/causal",)),
    ("q and k swapped", lambda q, k, v: sdpa(k, q, v), alone, ("attention/q-k-swapped",)),
    ("k and v swapped", lambda q, k, v: sdpa(q, v, k), alone, ("attention/k-v-swapped",)),
    ("q and v swapped", lambda q, k, v: sdpa(v, k, q), alone, ("attention/q-v-swapped",)),
    (
        "one head",
        lambda q, k, v: resplit(q, k, v, 1),
        many,
        ("attention/one-head", "attention/half-the-heads"),
    ),
    (
        "twice the heads",
        lambda q, k, v: resplit(q, k, v, 2 * q.shape[1]),
        lambda n, m: True,
        ("attention/twice-the-heads", "attention/heads-are-widths"),
    ),
    ("heads innermost", innermost, many, ("attention/heads-innermost",)),
    ("heads not merged", unmerged, many, ("attention/heads-not-merged",)),
    (
        "last key lost",
        lambda q, k, v: sdpa(q, k[..., :-1, :], v[..., :-1, :]),
        crossing,
        ("attention/last-key-lost",),
    ),
    (
        "first key lost",
        lambda q, k, v: sdpa(q, k[..., 1:, :], v[..., 1:, :]),
        crossing,
        ("attention/first-key-lost",),
    ),
    (
        "next sample's keys",
        lambda q, k, v: sdpa(q, k.roll(1, 0), v.roll(1, 0)),
        crossing,
        ("attention/batch-crossed",),
    ),
]


def masked(first: int | None) -> Any:
    """CLIP's self-attention, blind from so many places on, or seeing all."""

    def make(m: Any) -> Any:
        def forward(hidden_states: T, *_: Any, **__: Any) -> Any:
            x = hidden_states

            def split(y: T) -> T:
                return y.view(len(y), y.shape[1], m.num_heads, -1).transpose(1, 2)

            q, k, v = split(m.q_proj(x)), split(m.k_proj(x)), split(m.v_proj(x))
            L = x.shape[1]
            mask = None
            if first is not None:
                mask = torch.full((L, L), -torch.inf).triu(first)
            return m.out_proj(merged(sdpa(q, k, v, attn_mask=mask))), None

        return forward

    return instead("CLIPAttention", make)


def scaled_sum(factor: float) -> Any:
    return setting("ResnetBlock2D", output_scale_factor=factor)


def residual(change: Callable[[T, T], T]) -> Any:
    """A residual block's input and result, put together otherwise."""

    def make(m: Any) -> Any:
        right = m.forward

        def forward(x: T, temb: Any, *a: Any, **o: Any) -> T:
            y = right(x, temb, *a, **o)
            skip = x if m.conv_shortcut is None else m.conv_shortcut(x)
            return change(skip, y - skip)

        return forward

    return instead("ResnetBlock2D", make, lambda n, m: m.conv_shortcut is None)


def lost(kind: str) -> Any:
    """What a module gives is left out where it is added: it gives nothing, its layers still run."""

    def make(m: Any) -> Any:
        right = m.forward
        return lambda *a, **o: 0 * right(*a, **o)

    return instead(kind, make)


def swapped_cat(m: Any) -> Any:
    right = torch.cat
    return patched(m, "torch.cat", lambda ts, dim=0: right([*ts][::-1], dim))


def lost_skip(m: Any) -> Any:
    right = torch.cat
    return patched(m, "torch.cat", lambda ts, dim=0: right([ts[0], 0 * ts[1]], dim))


def interpolated(**wrong: Any) -> Any:
    right = F.interpolate
    target = "torch.nn.functional.interpolate"

    def make(m: Any) -> Any:
        def resize(x: T, size: Any = None, scale_factor: Any = None, mode: str = "") -> T:
            return right(x, size=size, scale_factor=scale_factor, **wrong)

        return patched(m, target, resize)

    return instead("Upsample2D", make)


def tiled(m: Any) -> Any:
    def resize(x: T, size: Any = None, **_: Any) -> T:
        h, w = size or (2 * x.shape[2], 2 * x.shape[3])
        return x.repeat(1, 1, 2, 2)[:, :, :h, :w]

    return patched(m, "torch.nn.functional.interpolate", resize)


def timed(change: Callable[[Any], Callable[[T], T]]) -> Any:
    return instead("Timesteps", change)


def interleaved(m: Any) -> Any:
    right = m.forward

    def forward(t: T) -> T:
        a, b = right(t).chunk(2, -1)
        return torch.stack([a, b], -1).flatten(1)

    return forward


def before(m: Any, change: Callable[[T], T]) -> Callable[[T], T]:
    right = m.forward
    return lambda t: right(change(t))


UP = ("CrossAttnUpBlock2D", "UpBlock2D")


def in_up_block(make: Any) -> Any:
    def plant(model: Any, rng: Rng) -> str:
        kinds = [k for k in UP if any(type(m).__name__ == k for m in model.modules())]
        name, module = some(model, rng, kinds[rng.integers(len(kinds))])
        module.forward = make(module)
        return name

    return plant


WIRING: list[Mutant] = [
    *(Mutant(name, "unet", attending(attend, fits), ids) for name, attend, fits, ids in ATTENTION),
    Mutant("no causal mask", "text", masked(None), ("attention/no-mask",)),
    Mutant("the mask shows the next token", "text", masked(2), ("attention/mask-sees-next",)),
    Mutant("sum over sqrt(2)", "unet", scaled_sum(2**0.5), ("add/root-of-half",)),
    Mutant("sum halved", "unet", scaled_sum(2.0), ("add/halved",)),
    Mutant("skip connection lost", "unet", residual(lambda x, y: y), ("add/first-lost",)),
    Mutant("branch lost", "unet", residual(lambda x, y: x), ("add/second-lost",)),
    Mutant("branch subtracted", "unet", residual(lambda x, y: x - y), ("add/subtracted",)),
    Mutant("branch twice", "unet", residual(lambda x, y: x + 2 * y), ("add/twice",)),
    Mutant("skips before features", "unet", in_up_block(swapped_cat), ("concat/swapped",)),
    Mutant("skips lost", "unet", in_up_block(lost_skip), ("concat/skip-lost",)),
    Mutant("bilinear", "unet", interpolated(mode="bilinear"), ("upsample_nearest/bilinear",)),
    Mutant(
        "bilinear, aligned corners",
        "unet",
        interpolated(mode="bilinear", align_corners=True),
        ("upsample_nearest/corners",),
    ),
    Mutant("tiled", "unet", instead("Upsample2D", tiled), ("upsample_nearest/tiled",)),
    Mutant(
        "sines and cosines swapped",
        "unet",
        setting("Timesteps", flip_sin_to_cos=False),
        ("timestep_embedding/flipped",),
    ),
    Mutant(
        "freq_shift",
        "unet",
        setting("Timesteps", downscale_freq_shift=1),
        ("timestep_embedding/freq-shift", "timestep_embedding/max-period"),
    ),
    Mutant(
        "sines and cosines take turns",
        "unet",
        timed(interleaved),
        ("timestep_embedding/interleaved",),
    ),
    Mutant(
        "time one too high",
        "unet",
        timed(lambda m: before(m, lambda t: t + 1)),
        ("timestep_embedding/t+1",),
    ),
    Mutant(
        "time one too low",
        "unet",
        timed(lambda m: before(m, lambda t: t - 1)),
        ("timestep_embedding/t-1",),
    ),
    Mutant(
        "time from 0 to 1",
        "unet",
        timed(lambda m: before(m, lambda t: t / 1000)),
        ("timestep_embedding/of-one",),
    ),
    Mutant(
        "the first sample's time",
        "unet",
        timed(lambda m: before(m, lambda t: t[:1].expand(len(t)))),
        ("timestep_embedding/first-only",),
    ),
]
