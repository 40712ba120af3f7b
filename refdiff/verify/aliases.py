"""Other programs' spellings of diffusers' names: CompVis' modules, ONNX nodes, ports' prefixes.

Each dialect spells the reference's names its way; the candidate's names are only cleaned. Two
names are paired when their keys agree and neither side has another name with this key.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

# Where a component's modules lie in single files and ports; and its folder in diffusers.
OUTPUT = "output"  # a network's own result, which a recorder of modules gives the empty name
PREFIXES = {
    "model.diffusion_model.": "unet.",
    "first_stage_model.": "vae.",
    "cond_stage_model.transformer.": "text_encoder.",
}
COMPONENT = re.compile(r"^(model|unet|vae|text_encoder)\.(text_model\.)?|^text_model\.")
NODE = re.compile(r"/[A-Za-z]+(_\d+)?_output_\d+$")  # the operator in /conv1/Conv_output_0
SEPARATORS = re.compile(r"[./_:]+")
SUFFIXES = {"kernel": "weight", "scale": "weight", "gamma": "weight", "beta": "bias"}

OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.attentions.0": "mid.attn_1",
    "mid_block.resnets.1": "mid.block_2",
    "conv_norm_out": "norm_out",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
# What lies inside of a block, by the block's kind.
UNET_INSIDE = {"resnets": UNET_RESNET}
VAE_INSIDE = {"resnets": {"conv_shortcut": "nin_shortcut"}, "attentions": VAE_ATTENTION}
# What comes before a model's own names: "unet.", "steps.3.unet.", "vae.encoder.".
MODEL = re.compile(
    r"^((?:.*?\.)?(?:encoder\.|decoder\.)?)"
    r"((?:down_blocks|mid_block|up_blocks|conv_in|conv_norm_out|conv_out|time_embedding)\b.*)$"
)
BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\b")

Table = Mapping[str, str]
Blocks = Mapping[int, Mapping[int, set[str]]]  # level -> layer -> what it has


def pair_aliases(reference: Sequence[str], candidate: Sequence[str]) -> dict[str, str]:
    """Reference name -> candidate name, for those that some dialect makes equal and unique."""
    pairs: dict[str, str] = {}
    if OUTPUT in reference and "" in candidate:
        pairs[OUTPUT] = ""
    for spell in (lambda names: {n: n for n in names}, old_attention, compvis):
        spelled = spell(reference)
        for clean in (_key, _bare_key):
            ours = _unique((clean(spelled[n]), n) for n in reference if n not in pairs)
            taken = set(pairs.values())
            theirs = _unique((clean(_expand(n)), n) for n in candidate if n not in taken)
            pairs |= {name: theirs[key] for key, name in ours.items() if key in theirs}
    return pairs


def _unique(keyed: Iterable[tuple[str, str]]) -> dict[str, str]:
    names = defaultdict(list)
    for key, name in keyed:
        names[key].append(name)
    return {key: found[0] for key, found in names.items() if len(found) == 1 and key}


def _expand(name: str) -> str:
    """A candidate's name without its ONNX node, its component called as diffusers calls it."""
    name = NODE.sub("", name).lstrip("/")
    prefix = next((p for p in PREFIXES if name.startswith(p)), "")
    return PREFIXES.get(prefix, "") + name.removeprefix(prefix)


def _key(name: str) -> str:
    *path, last = SEPARATORS.split(name)
    return ".".join([*path, SUFFIXES.get(last, last)])


def _bare_key(name: str) -> str:
    return _key(COMPONENT.sub("", name.replace("/", ".")))


def old_attention(names: Iterable[str]) -> dict[str, str]:
    """The names with attention spelled as before diffusers 0.15."""
    return {name: _replace(name, OLD_ATTENTION) for name in names}


def compvis(names: Sequence[str]) -> dict[str, str]:
    """The names as CompVis' programs call the same modules: input_blocks, middle_block, ...

    Where a block lies among input_blocks depends on the blocks before it, so all names are needed.
    """
    split = {name: match.groups() for name in names if (match := MODEL.match(name))}
    models = defaultdict(set)
    for prefix, inside in split.values():
        models[prefix].add(inside)
    spelled = {name: name for name in names}
    tables = {prefix: _modules(prefix, inside) for prefix, inside in models.items()}
    for name, (prefix, inside) in split.items():
        spelled[name] = prefix + _translate(inside, *tables[prefix])
    return spelled


def _modules(prefix: str, names: set[str]) -> tuple[Table, Mapping[str, Table]]:
    """CompVis' name of every module of a model, and of what lies inside a block."""
    blocks: dict[str, dict[int, dict[int, set[str]]]] = {"down": {}, "up": {}}
    for side, level, kind, layer in (m.groups() for n in names if (m := BLOCK.match(n))):
        blocks[side].setdefault(int(level), {}).setdefault(int(layer), set()).add(kind)
    if prefix.endswith(("encoder.", "decoder.")) and not prefix.endswith("text_encoder."):
        return VAE | dict(_vae_blocks(blocks)), VAE_INSIDE
    return UNET | dict(_unet_blocks(blocks)), UNET_INSIDE


def _unet_blocks(blocks: Mapping[str, Blocks]) -> Iterator[tuple[str, str]]:
    """Layers are numbered through; a downsampler has a number, an upsampler its last layer's."""
    for side, theirs, place in (("down", "input_blocks", 1), ("up", "output_blocks", 0)):
        for level, layers in sorted(blocks[side].items()):
            for layer in sorted(layers):
                yield f"{side}_blocks.{level}.resnets.{layer}", f"{theirs}.{place}.0"
                yield f"{side}_blocks.{level}.attentions.{layer}", f"{theirs}.{place}.1"
                place += 1
            if side == "down":
                yield f"down_blocks.{level}.downsamplers.0.conv", f"{theirs}.{place}.0.op"
                place += 1
            else:
                part = 2 if any("attentions" in kinds for kinds in layers.values()) else 1
                yield f"up_blocks.{level}.upsamplers.0.conv", f"{theirs}.{place - 1}.{part}.conv"


def _vae_blocks(blocks: Mapping[str, Blocks]) -> Iterator[tuple[str, str]]:
    for side, levels in blocks.items():
        for level, layers in levels.items():
            there = level if side == "down" else max(levels) - level
            for layer in layers:
                yield f"{side}_blocks.{level}.resnets.{layer}", f"{side}.{there}.block.{layer}"
            yield f"{side}_blocks.{level}.{side}samplers.0", f"{side}.{there}.{side}sample"


def _translate(name: str, modules: Table, inside: Mapping[str, Table]) -> str:
    """The longest module that the name starts with, replaced; and what lies inside of it."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        if module in modules:
            rest = ".".join(parts[cut:])
            table = next((inside[part] for part in parts[:cut] if part in inside), {})
            return ".".join([modules[module], *filter(None, [_replace(rest, table)])])
    return name


def _replace(name: str, table: Table) -> str:
    """The name with the dotted parts that the table holds replaced, where a part begins."""
    for word, foreign in table.items():
        name = re.sub(rf"(?<![^.]){re.escape(word)}(?![^.])", foreign, name)
    return name
