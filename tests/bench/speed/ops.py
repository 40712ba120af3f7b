"""Every op on the shapes of Stable Diffusion 1.5 and its VAE, beside PyTorch.

python -m tests.bench.speed.ops [WORDS]     # only the lines that contain them
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

import refdiff
from refdiff import ops
from refdiff.kernels.scratch import aligned
from tests.bench.speed.race import Times, race

torch.set_grad_enabled(False)
Line = tuple[str, Callable[[], Any], Callable[[], Any]]


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return rng.standard_normal(shape, np.float32) * np.float32(scale)


def picture(n: int, c: int, size: int) -> tuple[np.ndarray, torch.Tensor]:
    """As each side lays it down itself: pixel by pixel here, channel by channel there."""
    x, laid = normal(n, c, size, size), aligned((n, size, size, c), np.float32)
    laid[...] = np.moveaxis(x, 1, -1)
    return np.moveaxis(laid, -1, 1), torch.tensor(x)


def convolutions() -> Iterator[Line]:
    shapes = [
        *((2, i, o, 64, 3, 1) for i, o in ((4, 320), (320, 320), (640, 320), (960, 320), (320, 4))),
        *((2, i, o, 32, 3, 1) for i, o in ((320, 640), (640, 640), (1280, 640), (1920, 640))),
        *((2, i, o, 16, 3, 1) for i, o in ((640, 1280), (1280, 1280), (1920, 1280), (2560, 1280))),
        *((2, i, 1280, 8, 3, 1) for i in (1280, 2560)),
        *((2, c, c, s, 3, 2) for c, s in ((320, 64), (640, 32), (1280, 16))),
        *((2, c, c, s, 1, 1) for c, s in ((320, 64), (640, 32), (1280, 16))),
        (2, 960, 320, 64, 1, 1),
        *((1, i, o, s, 3, 1) for i, o, s in ((4, 512, 64), (512, 512, 64), (512, 512, 128))),
        *((1, i, o, s, 3, 1) for i, o, s in ((512, 256, 256), (256, 256, 256), (256, 128, 512))),
        *((1, i, o, s, 3, 1) for i, o, s in ((128, 128, 512), (128, 3, 512))),
    ]
    for n, i, o, size, k, stride in shapes:
        (x, tx), w, b = (
            picture(n, i, size),
            normal(o, i, k, k, scale=(i * k * k) ** -0.5),
            normal(o),
        )
        tw, tb = torch.tensor(w), torch.tensor(b)
        options = {"padding": k // 2, "stride": stride}

        def ours(x=x, w=w, b=b, options=options):  # type: ignore[no-untyped-def]
            return ops.conv2d(x, w, b, **options)

        def theirs(x=tx, w=tw, b=tb, options=options):  # type: ignore[no-untyped-def]
            return F.conv2d(x, w, b, **options)

        yield f"conv2d {k}x{k}/{stride} {i}->{o}, {size}x{size}, batch {n}", ours, theirs


def products() -> Iterator[Line]:
    for rows, i, o in (
        *((4096, 320, o) for o in (320, 2560)),
        *((1024, 640, o) for o in (640, 5120)),
        *((256, 1280, o) for o in (1280, 10240)),
        *((64, 1280, o) for o in (1280, 10240)),
        *((rows, 4 * c, c) for rows, c in ((4096, 320), (1024, 640), (256, 1280))),
        *((77, 768, c) for c in (320, 640, 1280)),
    ):
        x, w, b = normal(2, rows, i), normal(o, i, scale=i**-0.5), normal(o)
        t = [torch.tensor(a) for a in (x, w, b)]
        yield (
            f"linear {i}->{o}, {rows} rows, batch 2",
            lambda x=x, w=w, b=b: ops.linear(x, w, b),
            lambda t=t: F.linear(*t),
        )


def attentions() -> Iterator[Line]:
    for heads, L, S, d in (
        *(
            (8, n, s, d)
            for n, d in ((4096, 40), (1024, 80), (256, 160), (64, 160))
            for s in (n, 77)
        ),
        (1, 4096, 4096, 512),
    ):
        n = 1 if heads == 1 else 2
        q, k, v = (np.swapaxes(normal(n, length, heads, d), 1, 2) for length in (L, S, S))
        t = [torch.tensor(a) for a in (q, k, v)]
        yield (
            f"attention {heads} heads, {L} queries, {S} keys, width {d}, batch {n}",
            lambda q=q, k=k, v=v: ops.attention(q, k, v),
            lambda t=t: F.scaled_dot_product_attention(*t),
        )


def others() -> Iterator[Line]:
    for n, c, size in (
        *((2, 320, 64), (2, 640, 32), (2, 1280, 16), (2, 1280, 8)),
        *((1, 128, 512), (1, 512, 128)),
    ):
        (x, tx), g, b = picture(n, c, size), normal(c), normal(c)
        tg, tb = torch.tensor(g), torch.tensor(b)
        where = f"{c} channels, {size}x{size}, batch {n}"
        yield (
            f"group_norm {where}",
            lambda x=x, g=g, b=b: ops.group_norm(x, g, b, groups=32, eps=1e-5),
            lambda x=tx, g=tg, b=tb: F.group_norm(x, 32, g, b, 1e-5),
        )
        yield (
            f"silu of group_norm {where}",
            lambda x=x, g=g, b=b: ops.silu_of_group_norm(x, g, b, groups=32, eps=1e-5),
            lambda x=tx, g=tg, b=tb: F.silu(F.group_norm(x, 32, g, b, 1e-5)),
        )
        yield f"silu {where}", lambda x=x: ops.silu(x), lambda x=tx: F.silu(x)
        yield f"add {where}", lambda x=x: ops.add(x, x), lambda x=tx: x + x
        time = normal(n, c, 1, 1)
        tt = torch.tensor(time)
        yield (
            f"add a time to {where}",
            lambda x=x, t=time: ops.add(x, t),
            lambda x=tx, t=tt: x + t,
        )
    for n, c, size in ((2, 640, 32), (2, 1280, 16), (2, 1280, 8), (1, 512, 128), (1, 256, 256)):
        x, tx = picture(n, c, size)
        where = f"{c} channels, {size}x{size}, batch {n}"
        yield (
            f"upsample_nearest {where}",
            lambda x=x: ops.upsample_nearest(x),
            lambda x=tx: F.interpolate(x, scale_factor=2.0),
        )
        yield (
            f"concat {where}",
            lambda x=x: ops.concat(x, x),
            lambda x=tx: torch.cat([x, x], 1),
        )
    for rows, c in ((4096, 320), (1024, 640), (256, 1280)):
        x, g, b = normal(2, rows, c), normal(c), normal(c)
        t, wide = [torch.tensor(a) for a in (x, g, b)], normal(2, rows, 8 * c)
        yield (
            f"layer_norm width {c}, {rows} rows, batch 2",
            lambda x=x, g=g, b=b: ops.layer_norm(x, g, b, eps=1e-5),
            lambda t=t: F.layer_norm(t[0], t[1].shape, *t[1:], 1e-5),
        )

        def gated(x=torch.tensor(wide)):  # type: ignore[no-untyped-def]  # noqa: B008
            value, gate = x.chunk(2, -1)
            return value * F.gelu(gate)

        yield f"geglu width {4 * c}, {rows} rows, batch 2", lambda x=wide: ops.geglu(x), gated


def pairs() -> Iterator[Line]:
    """What networks here call as one, beside the two or three calls of PyTorch."""
    for n, c, size in ((2, 320, 64), (2, 640, 32), (2, 1280, 16), (2, 1280, 8), (1, 512, 128)):
        (x, tx), w, b = picture(n, c, size), normal(c, c, 3, 3, scale=(9 * c) ** -0.5), normal(c)
        (to, tto), time = picture(n, c, size), normal(n, c, 1, 1)
        t = [torch.tensor(a) for a in (w, b)]
        for what, more, theirs in ("picture", to, tto), ("time", time, torch.tensor(time)):
            yield (
                f"conv2d 3x3 and a {what} added, {c} channels, {size}x{size}, batch {n}",
                lambda x=x, w=w, b=b, to=more: ops.conv2d_plus(x, w, b, to, padding=1),
                lambda x=tx, t=t, to=theirs: F.conv2d(x, *t, padding=1) + to,
            )
    for n, c, size in (
        *((2, 1280, 8), (2, 1280, 16), (2, 640, 32)),
        *((1, 512, 64), (1, 512, 128), (1, 256, 256)),
    ):
        (x, tx), w, b = picture(n, c, size), normal(c, c, 3, 3, scale=(9 * c) ** -0.5), normal(c)
        t = [torch.tensor(a) for a in (w, b)]
        yield (
            f"conv2d 3x3 of what is enlarged, {c} channels, from {size}x{size}, batch {n}",
            lambda x=x, w=w, b=b: ops.conv2d_of_enlarged(x, w, b),
            lambda x=tx, t=t: F.conv2d(F.interpolate(x, scale_factor=2.0), *t, padding=1),
        )
    for rows, c in ((4096, 320), (1024, 640), (256, 1280), (64, 1280)):
        x, to, b = normal(2, rows, c), normal(2, rows, c), normal(c)
        w, wide, shifts = (
            normal(c, c, scale=c**-0.5),
            normal(8 * c, c, scale=c**-0.5),
            normal(8 * c),
        )
        t = [torch.tensor(a) for a in (x, w, b, to, wide, shifts)]
        yield (
            f"linear {c}->{c} and tokens added, {rows} rows, batch 2",
            lambda x=x, w=w, b=b, to=to: ops.linear_plus(x, w, b, to),
            lambda t=t: F.linear(*t[:3]) + t[3],
        )

        def gated(x=t[0], w=t[4], b=t[5]):  # type: ignore[no-untyped-def]
            value, gate = F.linear(x, w, b).chunk(2, -1)
            return value * F.gelu(gate)

        yield (
            f"geglu of linear {c}->{8 * c}, {rows} rows, batch 2",
            lambda x=x, w=wide, b=shifts: ops.geglu_of_linear(x, w, b),
            gated,
        )


def lines() -> Iterator[Line]:
    yield from convolutions()
    yield from products()
    yield from attentions()
    yield from others()
    yield from pairs()


def measure(words: str, rounds: int = 7) -> Iterator[tuple[str, dict[str, Times]]]:
    """Of every line that contains the words."""
    for name, ours, theirs in lines():
        if words in name:
            with refdiff.engine("fast"):
                times = race({"refdiff": ours, "torch": theirs}, rounds)
            yield name, times


def main() -> None:
    """As a table of Markdown."""
    print("| op | refdiff | PyTorch | speed, times PyTorch's |\n|---|---|---|---|", flush=True)
    for name, times in measure(" ".join(sys.argv[1:])):
        ours, theirs = times["refdiff"], times["torch"]
        print(f"| {name} | {ours} | {theirs} | {theirs.median / ours.median:.2f} |", flush=True)


if __name__ == "__main__":
    main()
