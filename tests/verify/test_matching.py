"""Matching: names in their order of trust, content without a wrong pair, and every doubt named."""

import json

import numpy as np
import pytest

from refdiff import safetensors
from refdiff.errors import ConfigError
from refdiff.verify.content import copies
from refdiff.verify.dumps import open_dump
from refdiff.verify.matching import match, read_table
from tests.verify.traces import disguise, traces


def check(found, truth, values):
    """No wrong pair, but for copies of one another; each name once. The pairs' share."""
    original = {theirs: ours for ours, theirs in truth.items()}
    for pair in found.pairs:
        other = original[pair.candidate]
        assert other == pair.reference or copies([values[other], values[pair.reference]]), pair
    ours = [p.reference for p in found.pairs] + [*found.missing, *found.ambiguous, *found.misshapen]
    assert len(set(ours)) == len(ours)
    assert len({pair.candidate for pair in found.pairs}) == len(found.pairs)
    return len(found.pairs)


@pytest.mark.parametrize("seed", range(0, 100, 10))
def test_shuffled_names_and_permuted_layouts_are_recovered_without_a_wrong_match(seed):
    total = paired = 0
    for trial in range(seed, seed + 10):
        rng = np.random.default_rng(trial)
        wide, narrow = traces(rng)
        theirs, truth = disguise(narrow, rng)
        found = match(wide, theirs)
        paired += check(found, truth, narrow)
        total += len(wide)
        for pair in found.pairs:
            gap = pair.arrange(theirs[pair.candidate]) - wide[pair.reference]
            assert np.abs(gap).max() <= 1e-3 * np.abs(wide[pair.reference]).max()
    assert paired > 0.99 * total


@pytest.mark.parametrize("rounding", ["float16", "bfloat16"])
def test_narrow_arithmetic_costs_pairs_and_makes_no_wrong_one(rounding):
    rng = np.random.default_rng(5)
    wide, narrow = traces(rng, rounding)
    theirs, truth = disguise(narrow, rng)
    assert check(match(wide, theirs), truth, narrow) > 0.3 * len(wide)


@pytest.mark.parametrize("seed", range(5))
def test_what_only_one_side_has_finds_no_partner(seed):
    rng = np.random.default_rng(seed)
    wide, narrow = traces(rng)
    ours = {name: x for name, x in wide.items() if rng.random() < 0.7}
    theirs, truth = disguise({n: x for n, x in narrow.items() if rng.random() < 0.7}, rng)
    possible = len(ours.keys() & truth.keys())
    assert check(match(ours, theirs), truth, narrow) > 0.7 * possible


def tensors(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return {f"layer{i}": rng.normal(size=(2, 3, 5, 4)) for i in range(count)}


def test_exact_names_stand_even_where_the_values_are_wrong():
    ours = tensors()
    theirs = ours | {"layer3": -ours["layer3"]}
    found = match(ours, theirs)
    assert all(
        p.how == "exact" and p.layout.plain and p.reference == p.candidate for p in found.pairs
    )
    assert len(found.pairs) == len(ours) and not found.missing and not found.extra


def test_a_wrong_tensor_is_laid_out_as_the_others_are():
    ours = tensors()
    theirs = {name: x.transpose(0, 2, 3, 1) for name, x in ours.items()}
    theirs["layer3"] = -theirs["layer3"]
    pair = match(ours, theirs).pairs[3]
    assert np.array_equal(pair.arrange(theirs["layer3"]), -ours["layer3"])
    square = {"x": np.arange(48.0).reshape(3, 4, 4), "y": np.ones(2)}
    other = {"x": np.random.default_rng(0).normal(size=(4, 4, 3)), "y": np.ones(2)}
    assert match(square, other).ambiguous == {"x": ("x",)}


def test_misshapen_missing_and_extra():
    ours = tensors()
    theirs = dict(ours)
    theirs["layer1"] = np.ones((2, 3, 5, 5))
    theirs["mine"] = np.ones(7)
    del theirs["layer2"]
    found = match(ours, theirs)
    assert found.misshapen == {"layer1": ((2, 3, 5, 4), (2, 3, 5, 5))}
    assert found.missing == ("layer2",) and found.extra == ("mine",)
    assert len(found.pairs) == 10


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_two_that_cannot_be_told_apart_are_ambiguous(apart):
    ours = {"a": np.random.default_rng(0).normal(size=(3, 4, 5))}
    ours["b"] = ours["a"] + apart
    theirs = {"x": ours["a"].astype(np.float32), "y": (ours["a"] + 1e-7).astype(np.float32)}
    found = match(ours, theirs)
    assert not found.pairs and not found.missing and not found.extra
    assert found.ambiguous == {"a": ("x", "y"), "b": ("x", "y")}


def test_copies_are_partners_and_one_may_stand_for_all():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    found = match({"a": x, "b": x}, {"x": x, "y": x.transpose(2, 0, 1)})
    assert [(p.reference, p.candidate) for p in found.pairs] == [("a", "x"), ("b", "y")]
    found = match({"a": x, "b": x}, {"x": x})
    assert [(p.reference, p.candidate) for p in found.pairs] == [("a", "x")]
    assert found.missing == ("b",) and not found.ambiguous


def test_the_order_of_computation_decides_where_values_cannot():
    ours = tensors()
    theirs = {f"t{i}": x for i, x in enumerate(ours.values())}
    near = ours["layer2"] * (1 + 1e-9)
    ours = {**ours, "again": near}
    theirs = {**theirs, "z": near.astype(np.float32)}
    assert {p.reference: p.candidate for p in match(ours, theirs).pairs}["again"] == "z"
    turned = dict(reversed(theirs.items()))
    assert set(match(ours, turned).ambiguous) == {"layer2", "again"}


def test_constants_and_single_numbers_prove_nothing():
    ours = {"zeros": np.zeros((3, 4)), "scale": np.full(1, 0.18215), "mask": np.float64([0, 1, 1])}
    found = match(ours, {f"t{i}": x for i, x in enumerate(ours.values())})
    assert not found.pairs and set(found.ambiguous) == set(ours)


def test_the_users_table_goes_before_all_names(tmp_path):
    ours = tensors()
    table = {"layer0": "layer1", "layer1": "layer0"}
    (tmp_path / "map.json").write_text(json.dumps(table))
    found = match(ours, ours, table=read_table(tmp_path / "map.json"))
    assert found.table() == {name: name for name in ours} | table
    assert [pair.how for pair in found.pairs[:3]] == ["map", "map", "exact"]
    again = match(ours, ours, table=json.loads(json.dumps(found.table())))
    assert again.table() == found.table()


@pytest.mark.parametrize("table", [{"layer0": "nothing"}, {"nothing": "layer0"}])
def test_a_table_of_strangers(table):
    with pytest.raises(ConfigError, match="nothing"):
        match(tensors(), tensors(), table=table)


def test_a_table_that_is_none(tmp_path):
    (tmp_path / "map.json").write_text('{"a": 1}')
    with pytest.raises(ConfigError, match="candidate's name"):
        read_table(tmp_path / "map.json")


def test_aliases_come_before_content():
    same = np.ones((2, 3))
    theirs = {"middle_block/0": same, "/down_blocks.0/resnets.0/conv1/Conv_output_0": same}
    found = match({"down_blocks.0.resnets.0.conv1": same, "mid_block.resnets.0": same}, theirs)
    assert [pair.how for pair in found.pairs] == ["alias", "alias"]
    assert found.table()["mid_block.resnets.0"] == "middle_block/0"


def test_fused_queries_keys_and_values():
    rng = np.random.default_rng(0)
    ours = {f"attn.to_{c}.weight": rng.normal(size=(6, 6)) for c in "qkv"}
    theirs = {"qkv": np.concatenate(list(ours.values())).astype(np.float32)}
    found = match(ours, theirs)
    assert not found.missing and not found.extra
    for pair in found.pairs:
        np.testing.assert_allclose(pair.arrange(theirs["qkv"]), ours[pair.reference], rtol=1e-6)


def test_dumps_are_matched_without_reading_what_names_settle(tmp_path):
    ours = tensors(count=3)
    safetensors.write(tmp_path / "a.safetensors", ours)
    np.savez(tmp_path / "b.npz", **{name: x.T for name, x in ours.items()})
    found = match(open_dump(tmp_path / "a.safetensors"), open_dump(tmp_path / "b.npz"))
    assert {str(pair.layout) for pair in found.pairs} == {"d c b a -> a b c d"}
