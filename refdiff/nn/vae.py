"""AutoencoderKL: pictures to latents and back (Rombach et al. 2022, arXiv 2112.10752, §3.1).

All norms have eps 1e-6 here, and the encoder halves with zeros below and on the right only.
"""

from dataclasses import dataclass
from functools import partial

from refdiff.errors import ShapeError
from refdiff.nn.layers import conv2d, silu_of_norm
from refdiff.nn.resnet import downsample, resnet_block, resnet_shapes, sampler_shapes, upsample
from refdiff.nn.shapes import Shape, Tree, conv, flatten, norm, numbered
from refdiff.nn.transformer import attention_block, attention_block_shapes
from refdiff.op import Array
from refdiff.params import Params, layer

EPS = 1e-6
LOGVAR = (-30.0, 20.0)  # the range that the log-variance is held to


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; `channels` of the picture's level first."""

    in_channels: int
    out_channels: int
    latent_channels: int
    channels: tuple[int, ...]
    layers: int  # residual blocks in a level of the encoder; the decoder has one more
    groups: int
    mid_attention: bool = True
    quant_conv: bool = True
    post_quant_conv: bool = True
    scaling_factor: float = 0.18215  # what the U-Net sees is (z - shift) * scaling
    shift_factor: float = 0.0
    sample_size: int | None = None

    @property
    def factor(self) -> int:
        """Pixels of the picture to a latent, along each axis."""
        return int(2 ** (len(self.channels) - 1))


@layer
def encode(p: Params, image: Array, *, config: VAEConfig) -> tuple[Array, Array]:
    """The posterior of a picture's latents: mean and log-variance of a diagonal Gaussian.

    image [N,3,H,W] in -1..1 -> mean [N,Z,H/f,W/f], logvar likewise, within -30..20
    Raises ShapeError where the picture does not fit the configuration.
    """
    check(image, config.in_channels)
    h = encoder(p / "encoder", image, config=config)
    h = conv2d(p / "quant_conv", h) if config.quant_conv else h
    Z = config.latent_channels
    return h[:, :Z], h[:, Z:].clip(*LOGVAR)


@layer
def decode(p: Params, z: Array, *, config: VAEConfig) -> Array:
    """The picture of (unscaled) latents: z [N,Z,h,w] -> [N,3,H,W], about -1..1

    Raises ShapeError where the latents do not fit the configuration.
    """
    check(z, config.latent_channels)
    z = conv2d(p / "post_quant_conv", z) if config.post_quant_conv else z
    return decoder(p / "decoder", z, config=config)


def check(x: Array, channels: int) -> None:
    """Raises ShapeError where x is not [N,channels,H,W]."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise ShapeError(f"autoencoder: got {x.shape}, expected [N,{channels},H,W]")


@layer
def encoder(p: Params, x: Array, *, config: VAEConfig) -> Array:
    """x [N,3,H,W] -> [N,2Z,h,w]"""
    x = conv2d(p / "conv_in", x, padding=1)
    for i in range(len(config.channels)):
        x = encoder_block(p / "down_blocks" / i, x, config=config)
    return finish(p, mid_block(p / "mid_block", x, config=config), config=config)


@layer
def encoder_block(p: Params, x: Array, *, config: VAEConfig) -> Array:
    """x [N,C,H,W] -> [N,O,H',W']"""
    for j in range(config.layers):
        x = resnet_block(p / "resnets" / j, x, None, groups=config.groups, eps=EPS)
    if "downsamplers" in p:
        x = downsample(p / "downsamplers" / 0, x, padding=(0, 1, 0, 1))
    return x


@layer
def decoder(p: Params, z: Array, *, config: VAEConfig) -> Array:
    """z [N,Z,h,w] -> [N,3,H,W]"""
    x = mid_block(p / "mid_block", conv2d(p / "conv_in", z, padding=1), config=config)
    for i in range(len(config.channels)):
        x = decoder_block(p / "up_blocks" / i, x, config=config)
    return finish(p, x, config=config)


@layer
def decoder_block(p: Params, x: Array, *, config: VAEConfig) -> Array:
    """x [N,C,h,w] -> [N,O,h',w']"""
    for j in range(config.layers + 1):
        x = resnet_block(p / "resnets" / j, x, None, groups=config.groups, eps=EPS)
    return upsample(p / "upsamplers" / 0, x) if "upsamplers" in p else x


@layer
def mid_block(p: Params, x: Array, *, config: VAEConfig) -> Array:
    """Residual block, attention of one head, residual block: x [N,C,h,w] -> [N,C,h,w]"""
    resnet = partial(resnet_block, temb=None, groups=config.groups, eps=EPS)
    x = resnet(p / "resnets" / 0, x)
    if config.mid_attention:
        x = attention_block(p / "attentions" / 0, x, heads=1, groups=config.groups, eps=EPS)
    return resnet(p / "resnets" / 1, x)


def finish(p: Params, x: Array, *, config: VAEConfig) -> Array:
    """The last norm and convolution of encoder and decoder: x [N,C,H,W] -> [N,O,H,W]"""
    x = silu_of_norm(p / "conv_act", p / "conv_norm_out", x, groups=config.groups, eps=EPS)
    return conv2d(p / "conv_out", x, padding=1)


def param_shapes(config: VAEConfig) -> dict[str, Shape]:
    """Name and shape of every weight that `encode` and `decode` read."""
    Z, channels = config.latent_channels, config.channels
    tree: dict[str, Tree] = {
        "encoder": {
            "conv_in": conv(channels[0], config.in_channels),
            "down_blocks": numbered(*levels(channels, config.layers, "downsamplers")),
            **end_shapes(channels[-1], channels[-1], 2 * Z, config.mid_attention),
        },
        "decoder": {
            "conv_in": conv(channels[-1], Z),
            "up_blocks": numbered(*levels(channels[::-1], config.layers + 1, "upsamplers")),
            **end_shapes(channels[-1], channels[0], config.out_channels, config.mid_attention),
        },
    }
    if config.quant_conv:
        tree["quant_conv"] = conv(2 * Z, 2 * Z, 1)
    if config.post_quant_conv:
        tree["post_quant_conv"] = conv(Z, Z, 1)
    return flatten(tree)


def levels(channels: tuple[int, ...], layers: int, samplers: str) -> list[Tree]:
    """The residual blocks of each level, and the resampler of each but the last."""
    trees: list[Tree] = []
    for before, c in zip(channels[:1] + channels[:-1], channels, strict=True):
        resnets = numbered(*(resnet_shapes(c, c if j else before) for j in range(layers)))
        trees.append({"resnets": resnets, samplers: sampler_shapes(c)})
    return [*trees[:-1], {"resnets": trees[-1]["resnets"]}]


def end_shapes(mid: int, last: int, out: int, attention: bool) -> Tree:
    """The middle block, and the last norm and convolution."""
    block = {"resnets": numbered(resnet_shapes(mid, mid), resnet_shapes(mid, mid))}
    if attention:
        block["attentions"] = numbered(attention_block_shapes(mid))
    return {"mid_block": block, "conv_norm_out": norm(last), "conv_out": conv(out, last)}
