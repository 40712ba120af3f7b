"""What pictures show: 48 subjects, hats, colours, and the pairs kept out of training."""

from __future__ import annotations

import hashlib

# name[/plural]:file of the artwork. The plural is name + "s" unless given; _ is a space.
TABLE = """
frog:1f438 cat:1f431 dog:1f436 penguin:1f427 panda:1f43c red_apple:1f34e fox/foxes:1f98a owl:1f989
rabbit:1f430 tiger:1f42f pig:1f437 elephant:1f418 giraffe:1f992 whale:1f433 turtle:1f422 snail:1f40c
octopus/octopuses:1f419 butterfly/butterflies:1f98b ladybug:1f41e chick:1f424 sunflower:1f33b
rose:1f339 mushroom:1f344 cactus/cacti:1f335 lemon:1f34b strawberry/strawberries:1f353 pizza:1f355
pumpkin:1f383 cupcake:1f9c1 car:1f697 rocket:1f680 house:1f3e0 banana:1f34c watermelon:1f349
carrot:1f955 doughnut:1f369 star:2b50 balloon:1f388 tree:1f333 snowman/snowmen:26c4
teddy_bear:1f9f8 soccer_ball:26bd duck:1f986 crab:1f980 cow:1f42e koala:1f428 bus/buses:1f68c
eggplant:1f346
"""


def _parse(table: str) -> tuple[dict[str, str], dict[str, str]]:
    files, plurals = {}, {}
    for entry in table.replace("_", "\0").split():
        words, file = entry.replace("\0", " ").rsplit(":", 1)
        name, _, plural = words.partition("/")
        files[name], plurals[name] = file, plural or name + "s"
    return files, plurals


FILES, PLURALS = _parse(TABLE)
SUBJECTS = list(FILES)
HAT_FILES = {"top hat": "1f3a9", "crown": "1f451"}
HATS = list(HAT_FILES)
SIZES = ["tiny", "big"]
COLOURS = {
    "white": (255, 255, 255),
    "red": (222, 48, 48),
    "orange": (250, 145, 40),
    "yellow": (252, 216, 60),
    "green": (70, 175, 85),
    "blue": (60, 115, 225),
    "purple": (140, 82, 195),
    "pink": (250, 165, 200),
    "black": (24, 24, 28),
}

# "two" is never held out: a plural that training never spells would test spelling, not composing.
MODIFIERS = ["stilts", *HATS, *SIZES, *(f"bg:{colour}" for colour in COLOURS if colour != "white")]
FORCED_OUT = {
    ("frog", "stilts"),
    ("owl", "stilts"),
    ("fox", "top hat"),
    ("rabbit", "crown"),
    ("lemon", "bg:blue"),
}
FORCED_IN = {("penguin", "top hat"), ("red apple", "bg:blue"), ("frog", "top hat")}


def held_out(subject: str, modifier: str) -> bool:
    """True for the pairs that training never shows: forced ones, and 7 % of the rest by hash."""
    pair = (subject, modifier)
    if pair in FORCED_OUT or pair in FORCED_IN or modifier not in MODIFIERS:
        return pair in FORCED_OUT
    return hashlib.sha256(f"{subject}|{modifier}".encode()).digest()[0] < 0.07 * 256


HELD_OUT = [(s, m) for s in SUBJECTS for m in MODIFIERS if held_out(s, m)]
