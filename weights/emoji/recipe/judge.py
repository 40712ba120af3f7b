"""The judge: a small classifier that says what a picture shows, to check it against its prompt."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import AutoencoderKL
from torch import Tensor, nn

from .clock import log
from .images import to_tensor
from .pool import JUDGE_SEED, render_many
from .scenes import Scene
from .subjects import COLOURS, HATS, SIZES, SUBJECTS
from .vae import reconstruct

QUESTIONS = {
    "count": [1, 2],
    "stilts": [False, True],
    "hat": [None, *HATS],
    "size": [None, *SIZES],
    "background": list(COLOURS),
}
ANSWERS = [len(options) for options in QUESTIONS.values()]
PICTURES, SOFTENED, EPOCHS, BATCH, RATE = 24_000, 4_000, 6, 128, 2e-3


class Judge(nn.Module):
    """x [N,3,64,64] -> scores of subjects [N,48], and of the options of each question."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(3, 32, 2), (32, 64, 2), (64, 96, 1), (96, 128, 2), (128, 160, 1)]
        layers: list[nn.Module] = []
        for inputs, outputs, stride in shapes:
            layers.append(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        total = len(SUBJECTS) + sum(ANSWERS)
        layers += [nn.Flatten(), nn.Dropout(0.2), nn.Linear(160 * 64, total)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        subjects, *answers = self.body(x).split([len(SUBJECTS), *ANSWERS], 1)
        return subjects, answers


def truth(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """f32[N,48] with a 1 for each subject shown, i64[N,5] with the answer to each question."""
    shown = torch.tensor([[float(name in scene.subjects) for name in SUBJECTS] for scene in scenes])
    facts = [(len(s.subjects), s.stilts, s.hat, s.size, s.background) for s in scenes]
    options = list(QUESTIONS.values())
    answers = [[opts.index(f) for opts, f in zip(options, fact, strict=True)] for fact in facts]
    return shown, torch.tensor(answers)


@torch.no_grad()
def verdict(judge: Judge, x: Tensor, scenes: list[Scene]) -> dict[str, Tensor]:
    """For each picture and question whether it is right; "all" when everything is.

    The subjects are right when the ones the prompt names, and only they, score above one half;
    the number of them is not told to the judge.
    """
    judge.eval()
    parts = [judge(part) for part in x.clamp(-1, 1).split(100)]
    shown, answers = truth(scenes)
    scores = torch.cat([subjects for subjects, _ in parts])
    right = {"subjects": ((scores > 0) == (shown > 0)).all(1)}
    for i, question in enumerate(QUESTIONS):
        guess = torch.cat([options[i] for _, options in parts]).argmax(1)
        right[question] = guess == answers[:, i]
    return right | {"all": torch.stack(list(right.values())).all(0)}


def train_judge(work: Path, vae: AutoencoderKL, workers: int = 2) -> Judge:
    """Trained on fresh scenes of all pairs; a sixth of them seen through the autoencoder."""
    if (work / "judge.pt").exists():
        judge = Judge()
        judge.load_state_dict(torch.load(work / "judge.pt"))
        return judge
    torch.manual_seed(7)
    pictures, scenes, _ = render_many(PICTURES, JUDGE_SEED, None, workers)
    x, (shown, answers) = to_tensor(pictures), truth(scenes)
    for part in range(0, SOFTENED, 500):  # the autoencoder's softness must not confuse it
        x[part : part + 500] = reconstruct(vae, x[part : part + 500], 0.15 * float(torch.rand(1)))
    judge = Judge().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.05)
    steps = PICTURES // BATCH * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(PICTURES).split(BATCH)[: PICTURES // BATCH]:
            noisy = x[rows] + 0.1 * torch.rand(BATCH, 1, 1, 1) * torch.randn(BATCH, 3, 64, 64)
            shift = torch.randint(-2, 3, (2,)).tolist()
            with torch.autocast("cpu", torch.bfloat16):
                subjects, options = judge(torch.roll(noisy, shift, (2, 3)))
            loss = 20 * F.binary_cross_entropy_with_logits(subjects.float(), shown[rows])
            for i, scores in enumerate(options):
                loss = loss + F.cross_entropy(scores.float(), answers[rows, i])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        log(f"judge epoch {epoch}: loss {loss.item():.4f}")
    torch.save(judge.state_dict(), work / "judge.pt")
    return judge
