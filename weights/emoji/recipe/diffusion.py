"""Stage `diffusion`: U-Net and text encoder together, predicting the noise; can be interrupted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from .clock import Clock, log
from .ema import Average
from .images import sheet
from .models import load_text_encoder, load_unet, load_vae, new_text_encoder, new_unet
from .parallel import Team
from .sampling import ALPHA_BAR, STEPS, pictures
from .text import coarse_head, coarse_loss, warm_up
from .vae import UNSEEN
from .vocabulary import encode, load_tokenizer

WATCHED = [
    "a frog", "a cat", "two cats", "a red apple on a blue background",
    "a penguin wearing a top hat",
    "a frog on stilts", "frogs on stilts", "two frogs on stilts on a yellow background",
    "a dog and a cat", "an owl", "a rocket", "a rose on a black background", "a tiny turtle",
    "a big strawberry", "a panda on stilts", "a fox wearing a crown", "a pizza",
    "a whale on an orange background", "two pumpkins", "a giraffe on stilts on a green background",
    "a bus", "a koala on a purple background", "two snowmen wearing top hats", "a tiny star",
]  # fmt: skip


@dataclass(frozen=True)
class Options:
    minutes: float
    rate: float = 1e-3
    batch: int = 64
    small: float = 0.35  # the first part of the time runs at half the batch
    narrow: float = 0.85  # the first part of the time computes in bfloat16
    decay: float = 0.998  # of the weight average
    tilt: float = 0.4  # more weight on noisy steps: abar^-tilt
    coarse: float = 0.2  # weight of the text encoder's auxiliary loss
    warm: float = 2.0  # minutes of text warm-up
    every: float = 6.0  # minutes between sheets and saved states


def step_weights(tilt: float) -> Tensor:
    """Loss weight of each timestep: min-SNR (gamma 5) for noise prediction, tilted; mean 1."""
    snr = ALPHA_BAR / (1 - ALPHA_BAR)
    weight = snr.clamp(max=5.0) / snr * ALPHA_BAR**-tilt
    return weight / weight.mean()


class Trainer:
    """Everything that a step changes, so that it can be saved and taken up again."""

    def __init__(self, team: Team, work: Path, options: Options, start: Path | None) -> None:
        self.team, self.work, self.options = team, work, options
        self.tokenizer = load_tokenizer(work / "tokenizer")
        self.latents = torch.from_numpy(np.load(work / "latents.npy"))[:-UNSEEN]
        self.ids = torch.from_numpy(np.load(work / "ids.npy"))[:-UNSEEN]
        self.empty = torch.from_numpy(encode(self.tokenizer, [""])[0])
        self.unet = load_unet(start / "unet") if start else new_unet()
        encoder = start / "text_encoder" if start else None
        self.text = load_text_encoder(encoder) if encoder else new_text_encoder(len(self.tokenizer))
        self.unet.to(memory_format=torch.channels_last)
        self.head = coarse_head()
        parameters = [*self.unet.parameters(), *self.text.parameters()]
        matrices = [p for p in (*parameters, *self.head.parameters()) if p.ndim > 1]
        vectors = [p for p in (*parameters, *self.head.parameters()) if p.ndim < 2]
        self.parameters = [*matrices, *vectors]
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, options.rate, (0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.average = Average(parameters, options.decay)
        self.weight = step_weights(options.tilt)
        self.step, self.seen = 0, 0
        self.seed()

    def seed(self) -> None:
        """Each process draws its own pictures and noise; a resumed run draws new ones."""
        self.generator = torch.Generator().manual_seed(3 + self.team.rank + 100 * self.step)
        self.order = torch.empty(0, dtype=torch.long)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Latents and token ids: each picture once a round, any wording, a tenth with none."""
        if len(self.order) < size:
            self.order = torch.randperm(len(self.latents), generator=self.generator)
        rows, self.order = self.order[:size], self.order[size:]
        wording = torch.randint(self.ids.shape[1], (size,), generator=self.generator)
        ids = self.ids[rows, wording]
        ids[torch.rand(size, generator=self.generator) < 0.1] = self.empty  # teaches guidance
        z = self.latents[rows].float().contiguous(memory_format=torch.channels_last)
        return z, ids.long()

    def losses(self, size: int, narrow: bool) -> tuple[Tensor, Tensor]:
        """Weighted loss to step on, and the plain error of each picture, noisiest last."""
        z, ids = self.batch(size)
        strata = torch.arange(size) + torch.rand(size, generator=self.generator)
        t = (strata / size * STEPS).long().clamp(max=STEPS - 1)  # evenly spread: a calmer gradient
        eps = torch.randn(z.shape, generator=self.generator)
        a = ALPHA_BAR[t].view(-1, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            context = self.text(ids).last_hidden_state
            guess = self.unet(a.sqrt() * z + (1 - a).sqrt() * eps, t, context).sample
        errors = (guess.float() - eps).pow(2).mean((1, 2, 3))
        said = (ids != self.empty).any(1)
        coarse = coarse_loss(self.head, context[said], z[said])
        return (errors * self.weight[t]).mean() + self.options.coarse * coarse, errors.detach()

    def update(self, clock: Clock, fraction: float) -> tuple[Tensor, float]:
        """One step; returns the mean error of each quarter of the noise levels, time used."""
        options = self.options
        size = options.batch // 2 if fraction < options.small else options.batch
        loss, errors = self.losses(size // self.team.size, fraction < options.narrow)
        loss.backward()
        fraction = self.team.average(self.parameters, clock.fraction)
        clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = options.rate * clock.rate_at(fraction)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()
        self.step, self.seen = self.step + 1, self.seen + size
        return errors.view(4, -1).mean(1), fraction

    def save(self, used: float) -> None:
        """The state (written aside, then renamed), the averaged networks, and a sheet."""
        modules = {"unet": self.unet, "text": self.text, "head": self.head, "opt": self.optimizer}
        state = {name: module.state_dict() for name, module in modules.items()}
        state |= {"average": self.average.values, "updates": self.average.updates}
        state |= {"step": self.step, "seen": self.seen, "used": used}
        torch.save(state, self.work / "state.new")
        os.replace(self.work / "state.new", self.work / "state.pt")
        with self.average.applied():
            self.unet.save_pretrained(self.work / "unet")
            self.text.save_pretrained(self.work / "text_encoder")
            vae = load_vae(self.work / "vae")
            x = pictures(vae, self.unet, self.text, self.tokenizer, WATCHED)
        sheet(x, 8, WATCHED, 2).save(self.work / f"watch_{self.step:06d}.png")
        log(f"saved at step {self.step}")

    def load(self) -> float:
        """Take up state.pt; returns the seconds that run had used."""
        state = torch.load(self.work / "state.pt")
        modules = {"unet": self.unet, "text": self.text, "head": self.head, "opt": self.optimizer}
        for name, module in modules.items():
            module.load_state_dict(state[name])
        self.average.values, self.average.updates = state["average"], state["updates"]
        self.step, self.seen = state["step"], state["seen"]
        self.seed()
        return state["used"]


def train_diffusion(
    team: Team, work: Path, options: Options, start: Path | None, resume: bool, restart: bool
) -> None:
    """Train for options.minutes; `resume` goes on from state.pt, `restart` with a new schedule."""
    torch.manual_seed(4)
    trainer = Trainer(team, work, options, start)
    used = trainer.load() if resume else 0.0
    if not resume:
        warm_up(team, trainer.text, trainer.head, trainer.latents, trainer.ids, options.warm, 7e-4)
        trainer.average = Average(trainer.average.parameters, options.decay)
    clock = Clock(options.minutes, used=0.0 if restart else used)
    saved = since = fraction = clock.fraction
    errors, seen = torch.zeros(4), trainer.seen
    while fraction < 1:
        new, fraction = trainer.update(clock, fraction)
        errors += new / 100
        if team.rank == 0 and trainer.step % 100 == 0:
            speed = (trainer.seen - seen) / (fraction - since) / clock.seconds
            parts = " ".join(f"{e:.4f}" for e in errors)
            log(f"step {trainer.step} seen {trainer.seen} used {fraction:.3f}:")
            log(f"    error by noise {parts}, {speed:.0f} pictures/s")
            since, seen, errors = fraction, trainer.seen, torch.zeros(4)
        if team.rank == 0 and (
            (fraction - saved) * options.minutes > options.every or fraction >= 1
        ):
            trainer.save(clock.used)
            saved = fraction
