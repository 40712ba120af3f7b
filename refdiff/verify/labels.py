"""Names of tensors as they may be shown: they come from files of strangers."""

import re

# What XML 1.0 has no way of writing; a terminal would obey some of it.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLOCK = re.compile(r".*?((blocks|layers)\.\d+|mid_block)(?=[.@]|$)")


def clean(text: str) -> str:
    """The text with a replacement character for all that cannot be shown."""
    return _UNPRINTABLE.sub("\ufffd", text)


def block_of(name: str) -> str:
    """The block that a layer belongs to: "unet.up_blocks.1.resnets.0.conv1" -> "unet.up_blocks.1"

    What stands in no block belongs to what its name says before the last dot, or to itself.
    """
    found = _BLOCK.match(name)
    return found[0] if found else name.rpartition(".")[0] or name
