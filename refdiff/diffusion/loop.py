"""The one loop: every sampler, every consumer."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from refdiff.diffusion.samplers.plan import Plan, R, Sampler
from refdiff.diffusion.types import Array, Model
from refdiff.errors import ShapeError


class Step(NamedTuple):
    """What happened in row i: the model saw x_in at t and said out, and x became x_prev."""

    i: int
    t: float
    x_in: Array
    out: Array
    x_prev: Array


def sample(
    model: Model,
    sampler: Sampler[R],
    plan: Plan[R],
    x: Array,
    noise: Callable[[int], Array],
    start: int = 0,
) -> Iterator[Step]:
    """Walk the plan from row `start` to its end, giving out a record of every row.

    x [N,C,H,W]: noise times `sampler.init_noise_sigma(plan)`, or a picture's latents from
    `sampler.add_noise(plan, start, ...)`. noise(i) -> [N,C,H,W] is called in order, only for
    rows that use it. The last record's x_prev is the sample. Stop when you like: it is a generator.
    """
    memory: Any = None
    for i in range(start, len(plan)):
        t = plan.rows[i].t
        x_in = sampler.scale_input(plan, i, x)
        out = ask(model, x_in, t, sampler.out_shape(x.shape))
        z = noise(i) if sampler.needs_noise(plan, i) else None
        x, memory = sampler.step(plan, i, x, out, memory, z)
        yield Step(i, t, x_in, out, x)


def ask(model: Model, x_in: Array, t: float, shape: tuple[int, ...]) -> Array:
    """What the model says of x_in [N,C,H,W]. Raises ShapeError for another shape than asked for."""
    out = model(x_in, t)
    if out.shape != shape:
        raise ShapeError(
            f"the model gave an output of shape {list(out.shape)} at t = {t}, expected "
            f"{list(shape)} for an x of shape {list(x_in.shape)}: give a model that does so"
        )
    return out
