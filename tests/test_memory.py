"""Small memory: the same bits, with weights given back and no large picture held."""

import platform
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refdiff
from refdiff import ConfigError, safetensors, strips
from refdiff.cli import main
from refdiff.kernels import norm, points
from refdiff.loading import shipped
from refdiff.nn.vae import VAEConfig, decode, param_shapes
from refdiff.op import Array, around
from refdiff.params import Params, Weights

SEEDS = st.integers(0, 2**32 - 1)


def drawn(rng: np.random.Generator, narrowest: int) -> tuple[VAEConfig, dict[str, Array], Array]:
    """A decoder with random weights, and latents for it."""
    groups = int(rng.integers(1, 4))
    levels = tuple(int(c) * groups for c in rng.integers(1, 6, int(rng.integers(1, 4))))
    config = VAEConfig(
        in_channels=3,
        out_channels=3,
        latent_channels=int(rng.integers(1, 5)),
        channels=levels,
        layers=int(rng.integers(1, 3)),
        groups=groups,
    )
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in param_shapes(config).items()
    }
    N, h, w = int(rng.integers(1, 3)), int(rng.integers(2, 13)), int(rng.integers(narrowest, 17))
    return config, weights, rng.standard_normal((N, config.latent_channels, h, w), np.float32)


def both(seed: int, block: int, narrowest: int) -> tuple[Array, Array]:
    """The picture whole and by strips, whatever is large, with blocks of so many numbers."""
    rng = np.random.default_rng(seed)
    config, weights, z = drawn(rng, narrowest)
    p = Params(Weights(weights), np.dtype(np.float32))
    with pytest.MonkeyPatch.context() as patch, refdiff.engine("fast"):
        patch.setattr(strips, "LARGE", int(rng.integers(1, 3000)))
        patch.setattr(strips, "STRIP", int(rng.integers(1, 3000)))
        patch.setattr(norm, "TILE", block)
        whole = decode(p, z, config=config)
        with around(strips.by_strips):
            return whole, strips.made(decode(p, z, config=config))


@given(SEEDS)
@settings(max_examples=40)
def test_the_same_bits_where_blocks_end_with_strips(seed: int) -> None:
    whole, by_strips = both(seed, block=1, narrowest=13)
    np.testing.assert_array_equal(by_strips, whole)


@given(SEEDS)
@settings(max_examples=40)
def test_the_same_values_wherever_they_end(seed: int) -> None:
    """Moments are joined in float64, which leaves a last place here and there; and strips of less
    than four tiles are convolved by columns."""
    whole, by_strips = both(seed, block=1 << 16, narrowest=2)
    np.testing.assert_allclose(by_strips, whole, rtol=1e-5, atol=1e-5 * float(abs(whole).max()))


def test_what_is_held_is_not_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large convolution stays unmade and gives the rows that are asked for; a sum is made."""
    monkeypatch.setattr(strips, "LARGE", 1)
    monkeypatch.setattr(strips, "STRIP", 2048)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 8, 64, 16), np.float32), np.ones((8, 8, 3, 3), np.float32)
    with refdiff.engine("fast"), around(strips.by_strips):
        h = refdiff.ops.conv2d(refdiff.ops.silu(x), w, padding=1)
        assert isinstance(h, strips.Unmade)
        assert h.rows(5, 7).shape == (1, 8, 2, 16)
        assert isinstance(refdiff.ops.add(x, h), np.ndarray)


def test_a_picture_takes_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "LARGE", 1 << 10)
    monkeypatch.setattr(strips, "STRIP", 1 << 12)
    monkeypatch.setattr(norm, "TILE", 1)
    pipe = refdiff.load()
    settings = {"steps": 2, "guidance": 2.0, "size": (64, 32)}
    with refdiff.engine("fast"):
        expected = pipe("a frog", **settings)
        with refdiff.memory("small"):
            small = pipe("a frog", **settings)
    assert np.array_equal(small.latents, expected.latents)
    assert small.images[0].tobytes() == expected.images[0].tobytes()


def test_the_command_line_takes_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("normal", "small"):
        argv = ["generate", "a cat", "--steps", "2", "--engine", "fast", "--memory", kind]
        assert main([*argv, "-o", f"{kind}.png"]) == 0
    assert Path("small.png").read_bytes() == Path("normal.png").read_bytes()


def test_strips_begin_where_tiles_do() -> None:
    assert strips.TILE == points.TILE


def test_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose 'normal' or 'small'"), refdiff.memory("tiny"):
        pass


def mapped() -> int:
    """Bytes of files that are in this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile")).split()[1])


@pytest.mark.parametrize("kind", ["small", "normal"])
def test_pages_are_given_back(kind: str, tmp_path: Path) -> None:
    """While weights are read one after the other where memory is small, else at rest."""
    path, size = tmp_path / "w.safetensors", 1 << 24
    tensors = {f"{i}": np.full(size, i, np.float16) for i in range(4)}
    safetensors.write(path, tensors)
    weights = Weights(Released(path), keeps=False)
    before = mapped()
    with refdiff.memory(kind):
        for name in tensors:
            assert weights.read(name, np.dtype(np.float32))[-1] == int(name)
    held = mapped() - before
    assert (held < 1.5 * 2 * size) == (kind == "small")
    weights.release()
    assert mapped() - before < size


class Released(dict[str, Array]):
    """A file's tensors as a component has them."""

    def __init__(self, path: Path) -> None:
        self.file = safetensors.read(path)
        super().__init__({name: self.file[name] for name in self.file})

    def release(self) -> None:
        self.file.release()


def pages_waited_for() -> int:
    """When a block of 64 MiB is taken and freed several times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        block = np.empty(1 << 26, np.uint8)
        block[:: 1 << 12] = 1
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks to glibc's malloc")
def test_freed_blocks_are_used_again_unless_memory_is_small() -> None:
    """A block given back comes anew in pages of 2 MiB at the largest: 32 of them."""
    with refdiff.memory("normal"):
        pages_waited_for()
        assert pages_waited_for() < 32
        with refdiff.memory("small"):
            assert pages_waited_for() >= 5 * 32
            with refdiff.memory("normal"):
                pages_waited_for()
                assert pages_waited_for() < 32
            assert pages_waited_for() >= 5 * 32
        pages_waited_for()
        assert pages_waited_for() < 32


def test_shipped_weights_can_be_given_back() -> None:
    """What a component holds knows how."""
    unet = refdiff.load(shipped() / "unet")
    assert callable(unet.weights.source.release)
