"""Every solver's error against the calls it takes, and what the stochastic ones' samples look like.

    python -m tests.bench.convergence docs     # writes docs/convergence.md and its picture

float64, the paper dialect, a mixture of two Gaussians in the plane whose perfect denoiser, flow and
moments are known (refdiff.diffusion.exact). The tests hold the same claims to the same measure.
"""

import sys
from pathlib import Path

import numpy as np

from refdiff.plots import Line, Panel, plot
from tests.diffusion import theory
from tests.diffusion.test_convergence import POINTS, STOCHASTIC, moments
from tests.diffusion.theory import CLAIMS, STEPS, Claim

AT = (8, 16, 32, 64, 128, 256)  # steps that the plot and the table show


def calls(claim: Claim, steps: int) -> int:
    """Calls of the model up to where the error is measured."""
    return len(claim.sampler().plan(steps))


def measured(claim: Claim) -> tuple[float, np.ndarray, np.ndarray]:
    """The order over four halvings; calls and errors at fewer steps, as they are used."""
    slope, _ = theory.order(claim)
    fewest = [n for n in AT if n >= 4]
    return (
        slope,
        np.array([calls(claim, n) for n in fewest], float),
        np.array([theory.error(claim, 4 * n if claim.where == "quarter" else n) for n in fewest]),
    )


def page(rows: list[tuple[Claim, float, np.ndarray, np.ndarray]]) -> str:
    """The whole page."""
    lines = [
        "# Order of convergence",
        "",
        "Written by `python -m tests.bench.convergence docs`. What is sampled is a mixture of two "
        "Gaussians in the plane, whose perfect denoiser, probability flow and moments are known in "
        "closed form or to twelve digits; arithmetic is float64, the dialect paper. So an error "
        "here is the solver's own: no network, no rounding.",
        "",
        "![Error against calls of the model, by order](pictures/convergence.png)",
        "",
        "## Deterministic solvers",
        "",
        f"The order is the slope of log(error) over {STEPS[0]} to {STEPS[-1]} steps (four "
        "halvings), and within 0.2 of the claim, or the tests fail. Errors are the largest "
        "distance from the exact flow, where sigmas spaced by Karras have their last level before "
        "0, at a quarter of the training time for samplers that follow the times (of four times "
        "as many steps), or at the plan's end. The last step to sigma 0 is of first order in "
        "every method, and is not what tells them apart.",
        "",
        "| solver | name | order | measured | " + " | ".join(f"{n} steps" for n in AT) + " |",
        "|---|---|---|---|" + "---|" * len(AT),
    ]
    for claim, slope, _, errors in rows:
        figures = " | ".join(f"{e:.1e}" for e in errors)
        lines.append(
            f"| {claim.label} | `{claim.name}` | {claim.order} | {slope:.2f} | {figures} |"
        )
    lines += [
        "",
        "## Stochastic samplers",
        "",
        f"Mean and covariance of {POINTS:,} samples, in standard errors off the data's. Beyond "
        "five the tests fail. Consistency samplers are asked with the exact consistency function.",
        "",
        "| name | steps | mean | covariance |",
        "|---|---|---|---|",
    ]
    for case in STOCHASTIC:
        of_mean, of_covariance = moments(case)
        worst = [f"{np.max(np.abs(v)):.1f}" for v in (of_mean, of_covariance)]
        lines.append(f"| `{case.name}` | {case.steps} | {worst[0]} | {worst[1]} |")
    return "\n".join(lines) + "\n"


def main(folder: Path) -> None:
    """Measure, write, draw."""
    rows = []
    for claim in CLAIMS:
        rows.append((claim, *measured(claim)))
        print(f"{claim.label}: {rows[-1][1]:.2f}", file=sys.stderr, flush=True)
    panels = [
        Panel(
            f"order {k}",
            "calls of the model",
            "error",
            [Line(c.label, n, e, dots=True) for c, _, n, e in rows if c.order == k],
            x_log=True,
            y_log=True,
        )
        for k in sorted({claim.order for claim in CLAIMS})
    ]
    plot(panels).save(folder / "pictures" / "convergence.png")
    (folder / "convergence.md").write_text(page(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
