"""Every name leads to its stream, and nothing else leads anywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refdiff import noise
from refdiff.errors import ConfigError
from refdiff.noise.names import NAMES
from refdiff.noise.torch_cuda import GPUS
from tests.noise.draws import same_bits

BIG = 100_000  # more than a wave of most GPUs
STREAMS = {
    "torch-cpu": noise.torch_cpu(5),
    "torch-cpu-2.11": noise.torch_cpu_211(5),
    "a1111": noise.torch_cuda_one_wave(5),
    "jax": noise.jax(5),
    "jax-original": noise.jax(5, partitionable=False),
    "numpy": noise.numpy(5),
    "numpy-generator": noise.numpy_generator(5),
    "libstdc++": noise.libstdcxx(5),
    "torch-cuda:28": noise.torch_cuda(5, sms=28),
    "torch-cuda:40x1024": noise.torch_cuda(5, sms=40, threads_per_sm=1024),
    "torch-cuda:t4": noise.torch_cuda(5, sms=40, threads_per_sm=1024),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_name_is_its_stream(name):
    stream = noise.from_name(name, 5)
    assert type(stream) is type(STREAMS[name])
    assert same_bits(stream.normal(BIG), STREAMS[name].normal(BIG))


def test_every_name_is_tested_and_every_gpu_made():
    assert set(NAMES) < set(STREAMS)
    for gpu in GPUS:
        assert noise.from_name(f"torch-cuda:{gpu}", 0).normal((2, 3)).shape == (2, 3)


def test_names_are_not_mixed_up():
    draws = {noise.from_name(name, 5).normal(BIG).tobytes() for name in STREAMS}
    assert len(draws) == len(STREAMS) - 2  # float32 of both releases; a T4's geometry
    halves = [
        noise.from_name(name, 5).normal(BIG, "float16") for name in ("torch-cpu", "torch-cpu-2.11")
    ]
    assert not np.array_equal(*halves)


HOSTILE = [
    *["", "torch", "torch-cuda", "torch-cuda:", "torch-cuda:0", "torch-cuda:82x", "torch-cuda:x82"],
    *[
        "torch-cuda:82x1536x1",
        "torch-cuda:-1",
        "torch-cuda:+82",
        "torch-cuda: 82",
        "torch-cuda:8_2",
    ],
    *["torch-cuda:82\n", "torch-cuda:٨٢", "torch-cuda:1e3", "torch-cuda:999999", "TORCH-CPU"],
    *["torch-cuda:82x255", "torch-cuda:82x999999", "torch-cuda:" + "9" * 5000, "../jax", "jax\0"],
    *["torch-cuda:T4", "t4", "__class__", "%s%s%s%n", "{0}", "x" * 10**6],
    *[None, 5, b"jax", ["jax"], object(), ("torch-cpu",), float("nan")],
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:30].partition(" at 0x")[0])
def test_a_hostile_name_is_refused(name):
    with pytest.raises(ConfigError) as error:
        noise.from_name(name, 0)
    assert len(str(error.value)) < 600


@given(st.text(max_size=30) | st.text(max_size=10).map(lambda text: "torch-cuda:" + text))
def test_any_other_name_is_refused(name):
    gpu = name.removeprefix("torch-cuda:")
    if name not in NAMES and gpu not in GPUS and not gpu[:1].isdecimal():
        with pytest.raises(ConfigError, match=r"the names are torch-cpu, .*torch-cuda:SMS"):
            noise.from_name(name, 0)


@pytest.mark.parametrize("name", STREAMS)
def test_a_seed_is_refused(name):
    for seed in [2**64, "5", None, 1.0, True]:
        with pytest.raises(ConfigError, match="seed"):
            noise.from_name(name, seed)
