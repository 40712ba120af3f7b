"""Make the README's picture with the shipped weights: python docs/pictures/make.py."""

from pathlib import Path

from PIL import Image

import refdiff

PROMPTS = (
    "frogs on stilts",
    "a red apple on a blue background",
    "two cats",
    "a penguin wearing a top hat",
    "an owl on a green background",
    "a frog on stilts on a yellow background",
    "a dog wearing a crown",
)
SIDE = 128  # each picture is doubled, so that its pixels can be seen

if __name__ == "__main__":
    pipe = refdiff.load()
    strip = Image.new("RGB", (SIDE * len(PROMPTS), SIDE))
    for i, prompt in enumerate(PROMPTS):
        picture = pipe(prompt, guidance=4.0, seed=0).images[0]
        strip.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (i * SIDE, 0))
    strip.save(Path(__file__).with_name("readme.png"))
