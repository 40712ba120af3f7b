"""Vectors of whole pipelines in small: text encoder, guided steps of the U-Net, decoder.

Weights are drawn, so the picture shows nothing; every block on the way is an output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refdiff.diffusion import samplers
from refdiff.diffusion.guidance import combine
from refdiff.nn import clip, unet, vae
from refdiff.nn.shapes import Shape
from refdiff.op import Array
from refdiff.params import Params
from refdiff.selection import Selection
from refdiff.trace import Trace
from refdiff.verify.kit.vector import Draw, Named, Vector, Vectors, letters, nothing, stored

STEPS, GUIDANCE = 3, 7.5
IDS = np.array([[38, 39, 39, 39, 39, 39, 39], [38, 5, 17, 2, 30, 39, 39]], np.int64)


@dataclass(frozen=True)
class Tiny:
    """A pipeline's configurations."""

    text: clip.CLIPTextConfig
    unet: unet.UNetConfig
    vae: vae.VAEConfig
    scheduler: Mapping[str, Any]

    def shapes(self) -> dict[str, Shape]:
        """Name and shape of every weight: the component's folder, then its own name."""
        parts = {
            "text_encoder": clip.param_shapes(self.text),
            "unet": unet.param_shapes(self.unet),
            "vae": vae.param_shapes(self.vae),
        }
        return {f"{part}.{name}": s for part, shapes in parts.items() for name, s in shapes.items()}


SCHEDULE = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
SD1 = Tiny(
    clip.CLIPTextConfig(40, 24, 48, 2, 4, 7, "quick_gelu", 1e-5, 39),
    unet.UNetConfig(
        in_channels=4,
        out_channels=4,
        channels=(16, 24),
        down=(True, False),
        up=(False, True),
        layers=(1, 1),
        heads=(2, 2),
        depth=(1, 1),
        context=24,
        groups=8,
        eps=1e-5,
        linear_projection=False,
        scale_shift=False,
        flip_sin_to_cos=True,
        freq_shift=0.0,
    ),
    vae.VAEConfig(3, 3, 4, (8, 16), 1, groups=4),
    SCHEDULE,
)
SD2 = replace(
    SD1,
    text=replace(SD1.text, activation="gelu", heads=3),
    unet=replace(SD1.unet, heads=(2, 3), linear_projection=True),
    scheduler={**SCHEDULE, "prediction_type": "v_prediction"},
)


def pipeline_vectors() -> Vectors:
    """One shaped as Stable Diffusion 1, one as 2."""
    for which, tiny in (("sd-1", SD1), ("sd-2", SD2)):
        id = f"pipelines/text-to-image/{which}"
        draw = Draw(id)
        inputs = {"ids": IDS, "start": draw.normal(1, 4, 6, 10)}
        attributes = {
            "text_encoder": vars(tiny.text),
            "unet": vars(tiny.unet),
            "vae": vars(tiny.vae),
            "scheduler": tiny.scheduler,
            "steps": STEPS,
            "guidance": GUIDANCE,
        }

        def run(p: Params, given: Named, tiny: Tiny = tiny) -> Named:
            return dict(pictured(tiny, p, given["ids"], given["start"]))

        weights = draw.weights(tiny.shapes())
        told = {**letters(inputs, weights), "in.ids": "NL"}
        yield Vector(
            id, "pipeline", run, inputs, weights, attributes, (which,), told, nothing, bounded=False
        )


def pictured(tiny: Tiny, p: Params, ids: Array, start: Array) -> Trace:
    """From ids to the picture, every block recorded. ids [2,L], the unconditional first."""
    trace = Trace(wanted=Selection("block"))
    p = replace(p, trace=trace)
    context = clip.clip_text(p / "text_encoder", ids, config=tiny.text).last_hidden_state
    sampler = samplers.from_config(tiny.scheduler)
    plan = sampler.plan(STEPS)
    x: Array = start * sampler.init_noise_sigma(plan)
    memory = None
    for i, row in enumerate(plan.rows):
        with trace.within(f"steps.{i}"):
            both = np.concatenate([sampler.scale_input(plan, i, x)] * 2)
            said = unet.unet(p / "unet", both, row.t, context, config=tiny.unet)
            out = trace.record("out", stored(combine(said[:1], said[1:], GUIDANCE)))
            x, memory = sampler.step(plan, i, x, out, memory, None)
            x = trace.record("x_prev", stored(x))
    z = trace.record("z", stored(x / tiny.vae.scaling_factor + tiny.vae.shift_factor))
    vae.decode(p / "vae", z, config=tiny.vae)
    return trace
