"""Components and what they hold in memory."""

import numpy as np
import pytest

import refdiff
from refdiff import components
from refdiff.loading import shipped


def test_what_a_large_component_widens_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = refdiff.load(shipped() / "unet")
    monkeypatch.setattr(components, "KEPT", 0)
    lean = refdiff.load(shipped() / "unet")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, kept.config.in_channels, 8, 8), np.float32)
    context = rng.standard_normal((1, 5, kept.config.context), np.float32)
    with refdiff.engine("fast"):
        assert kept(x, 500, context).tobytes() == lean(x, 500, context).tobytes()
    assert kept.weights._widened and not lean.weights._widened
    sizes = [np.prod(shape) for shape in lean.weights.source.shapes.values()]
    assert sum(sizes) == sum(w.size for w in lean.weights.source.values())
