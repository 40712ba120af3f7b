"""Older and newer spellings of the same weights, brought to the names that refdiff's models read.

The models speak diffusers' and transformers' names as Stable Diffusion 1.x was published with.
"""

import re

from refdiff.checkpoints.weight_files import Source, WeightFiles
from refdiff.errors import CheckpointError
from refdiff.strict_json import show

# Tensors that hold no weight. position_ids are 0, 1, 2, ...: a buffer that transformers once saved.
IGNORED_TENSORS = frozenset({"text_model.embeddings.position_ids"})

# CLIPTextModel as transformers 5 writes it: without this prefix.
CLIP_PREFIX = "text_model."

# The attention over pixels in files from before diffusers 0.15, the published SD 1.x VAE among
# them. Some converters left its matrices as 1x1 convolutions.
ATTENTION = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
OLD_NAME = re.compile(rf"(.*\battentions\.\d+)\.({'|'.join(ATTENTION)})\.(weight|bias)")
MATRIX = re.compile(r".*\battentions\.\d+\.(to_q|to_k|to_v|to_out\.0)\.weight")


def clip_names(weights: WeightFiles) -> WeightFiles:
    """The text encoder's weights with their prefix and without buffers."""
    prefix = "" if any(name.startswith(CLIP_PREFIX) for name in weights) else CLIP_PREFIX
    named = {prefix + name: source for name, source in weights.sources.items()}
    return WeightFiles({name: s for name, s in named.items() if name not in IGNORED_TENSORS})


def modern_attention(weights: WeightFiles) -> WeightFiles:
    """The weights with each pixel attention's matrices [C,C] under today's names.

    Raises CheckpointError where a matrix is there under both names.
    """
    sources: dict[str, Source] = {}
    for old, source in weights.sources.items():
        name = _modern(old)
        if name in sources:
            raise CheckpointError(
                f"{source.file.path} holds {show(name)} under an old and a new name; keep one."
            )
        sources[name] = _as_matrix(source) if MATRIX.fullmatch(name) else source
    return WeightFiles(sources)


def _modern(name: str) -> str:
    old = OLD_NAME.fullmatch(name)
    return f"{old[1]}.{ATTENTION[old[2]]}.{old[3]}" if old else name


def _as_matrix(source: Source) -> Source:
    out, *rest = source.shape
    return source._replace(shape=(out, rest[0])) if rest[1:] == [1, 1] else source
