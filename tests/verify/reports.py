"""Reports made by hand, with a tensor in every state and a name for every place."""

import numpy as np

from refdiff.verify.bounded import Excess
from refdiff.verify.diagnose import Explanation
from refdiff.verify.formats import FLOAT32
from refdiff.verify.metrics import measure
from refdiff.verify.report import Compared, Diagnosed, Evidence, NotCompared, Report
from refdiff.verify.verdict import State, Verdict, honest, judge

SIZES = {  # of errors, in units of honest rounding
    State.EXPLAINED: 1.0,
    State.LOOSE: 12.0,
    State.UNEXPLAINED: 1e4,
    State.IMPOSSIBLE: 1e5,
}


def verdict(state: State, exact: np.ndarray, given: np.ndarray) -> Verdict:
    runs = [exact + 1e-7 * np.cos(np.arange(exact.size)).reshape(exact.shape)]
    beyond = Excess(3, 7.5, (0,) * exact.ndim, 11) if state == State.IMPOSSIBLE else None
    return judge(measure(exact, given), honest(runs, exact, FLOAT32, ["float32, by hand"]), beyond)


def tensor(name: str, state: State) -> tuple[Compared, Evidence]:
    """A tensor [2,3,5,7] in that state, and what it looks like."""
    rng = np.random.default_rng(len(name))
    exact = rng.normal(size=(2, 3, 5, 7))
    honest_ = exact + 1e-7 * rng.normal(size=exact.shape)
    given = exact + SIZES[state] * 1e-7 * rng.normal(size=exact.shape)
    judged = verdict(state, exact, given)
    assert judged.state == state
    total = measure(exact, given + 1e-6)
    found = Compared(name, name, "exact", "", judged, total, judged)
    return found, Evidence(name, exact, given, honest_)


def report(*names: str, states: tuple[State, ...] = tuple(State)) -> Report:
    """A tensor for each name, their states in turn; the guilty ones are diagnosed and shown."""
    made = [tensor(name, states[i % len(states)]) for i, name in enumerate(names)]
    guilty = [(t, e) for t, e in made if t.state >= State.UNEXPLAINED]
    return Report(
        reference="reference.safetensors",
        candidate="mine.npz",
        model="model",
        profile="float32",
        tensors=tuple(t for t, _ in made),
        diagnosed=tuple(Diagnosed(t.name, explanations(t.name), names[:1]) for t, _ in guilty),
        evidence=tuple(e for _, e in guilty),
    )


def explanations(name: str) -> tuple[Explanation, ...]:
    return (
        Explanation("group_norm/eps", "eps is 0.05", name, 1e5, 0.6),
        Explanation("silu/relu", "relu instead of silu", name, 1e5, 8e4),
    )


def full_report(name: str = "down_blocks.0.resnets.0.norm1") -> Report:
    """One in which every list has something and no key is left out."""
    others = ("steps.0.x_prev", "mid_block.resnets.0", "steps.1.x_prev")
    made = report(*others, name)
    return Report(
        **{
            **vars(made),
            "not_compared": (
                NotCompared(f"{name}.lost", "missing", f"there is no {name}"),
                NotCompared(f"{name}.waived", "unknown", "nobody knows it", True),
            ),
            "warnings": (f"a warning about {name}",),
            "weights": (f"{name}.weight is transposed",),
            "nondeterministic": (f"{name}.twice",),
        }
    )
