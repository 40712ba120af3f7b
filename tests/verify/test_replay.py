"""Replays: what each layer gives from the candidate's values, whatever was wrong before it."""

from collections.abc import Mapping

import numpy as np
import pytest

import refdiff
from refdiff.op import Array
from refdiff.verify.replay import Replay, Site
from refdiff.verify.walks import EXACT, HONEST
from tests.verify.tiny import SD2, Tiny, tiny


@pytest.fixture(scope="module", params=[None, SD2], ids=["SD 1", "SD 2"])
def unet(request: pytest.FixtureRequest) -> Tiny:
    return tiny("unet", 3, request.param)


def replayed(model: Tiny, values: Mapping[str, Array], budget: int = 1 << 28) -> dict[str, Array]:
    """Name -> what is exact there."""
    found: dict[str, Array] = {}

    def examine(replay: Replay, site: Site, exact: Mapping[str, Array]) -> None:
        assert not found.keys() & exact.keys()
        found.update(exact)

    replay = Replay(values, examine, budget)
    x = model.inputs
    with model.ours.recording(replay):
        model.ours(x["sample"].astype(np.float64), x["timestep"], x["encoder_hidden_states"])
    return found


def own(model: Tiny) -> dict[str, Array]:
    """refdiff's trace without the inputs."""
    return {n: v for n, v in model.reference().items() if not n.startswith("inputs.")}


@pytest.mark.parametrize("budget", [1 << 28, 20_000, 0])
def test_along_its_own_values_nothing_changes(unet: Tiny, budget: int) -> None:
    """Every name is examined once, however small the pieces, and is what the trace holds."""
    values = own(unet)
    found = replayed(unet, values, budget)
    assert found.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [1 << 28, 20_000, 0])
def test_a_wrong_value_is_the_fault_of_its_own_layer(unet: Tiny, budget: int) -> None:
    """What is computed with it is right, from then on."""
    values = own(unet)
    for name in list(values)[:: len(values) // 9]:
        wrong = {**values, name: values[name] + 0.1}
        found = replayed(unet, wrong, budget)
        off = [n for n in wrong if np.abs(found[n] - wrong[n]).max() > 1e-9]
        assert off[0] == name
        clean = replayed(unet, {n: wrong[n] for n in wrong if n != name}, budget)
        assert all(np.abs(clean[n] - values[n]).max() < 1e-9 for n in clean)


def test_sparse_values_make_long_pieces(unet: Tiny) -> None:
    """Between two values that are told the model computes by itself."""
    values = own(unet)
    few = {n: values[n] for n in list(values)[::7]}
    found = replayed(unet, few)
    assert found.keys() == few.keys()
    assert all(np.abs(found[n] - few[n]).max() < 1e-12 for n in few)


def test_another_shape_is_a_misfit_and_not_handed_on(unet: Tiny) -> None:
    values = own(unet)
    name = "down_blocks.0.resnets.0.conv1"
    values[name] = values[name][:, :1]
    replay = Replay(values, lambda *_: None)
    x = unet.inputs
    with unet.ours.recording(replay):
        unet.ours(x["sample"].astype(np.float64), x["timestep"], x["encoder_hidden_states"])
    assert list(replay.misfits) == [name]
    expected, found = replay.misfits[name]
    assert expected[1] > found[1] == 1


@pytest.mark.parametrize("profile", ["float32", "float16", "bfloat16"])
def test_a_site_can_be_run_in_other_ways(unet: Tiny, profile: str) -> None:
    """An honest walk rounds, the narrower the more; the targets alone give the same."""
    values, gaps = own(unet), []

    def examine(replay: Replay, site: Site, exact: Mapping[str, Array]) -> None:
        for walk in HONEST[profile]:
            whole = replay.run(site, walk)
            assert whole.keys() == exact.keys()
            name = list(exact)[-2]
            assert np.array_equal(replay.run(site, walk, (name,))[name], whole[name])
            near = replay.narrowed(site, name)
            assert np.array_equal(replay.run(near, EXACT, (name,))[name], exact[name])
            gaps.extend(np.abs(whole[n] - exact[n]).max() for n in exact if "conv" in n)

    replay = Replay(values, examine)
    x = unet.inputs
    with unet.ours.recording(replay):
        unet.ours(x["sample"].astype(np.float64), x["timestep"], x["encoder_hidden_states"])
    unit = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[profile]
    assert 0.1 * unit < np.median(gaps) < 30 * unit


def test_names_that_come_twice_are_told_apart() -> None:
    """A U-Net called twice, as without batching: the second call's values are its own."""
    model = tiny("unet", 5)
    x = {k: v.astype(np.float64) for k, v in model.inputs.items()}

    def twice() -> None:
        model.ours(x["sample"], 10, x["encoder_hidden_states"])
        model.ours(x["sample"] * 2, 500, x["encoder_hidden_states"])

    with refdiff.trace(model.ours) as taken:
        twice()
    values = dict(taken)
    assert "conv_in@2" in values and "mid_block.resnets.0.nonlinearity@6" in values
    values["up_blocks.0.resnets.0.conv1@2"] = values["up_blocks.0.resnets.0.conv1@2"] + 0.1
    found: dict[str, Array] = {}
    replay = Replay(values, lambda r, s, exact: found.update(exact))
    with model.ours.recording(replay):
        twice()
    off = [n for n in values if np.abs(found[n] - values[n]).max() > 1e-9]
    assert off == ["up_blocks.0.resnets.0.conv1@2"]
