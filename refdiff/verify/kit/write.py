"""Writing the kit: a safetensors file for each vector, the manifest, what reads it elsewhere."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from refdiff import safetensors
from refdiff.errors import ConfigError
from refdiff.op import Array
from refdiff.verify.kit.answer import Answer, Output, answer
from refdiff.verify.kit.catalogue import vectors
from refdiff.verify.kit.folder import whole_folder
from refdiff.verify.kit.vector import Vector
from refdiff.version import __version__

SCHEMA = "refdiff-kit-1"
KIT = "1.0.0"  # vectors added: the second number; answers corrected: the first
MANIFEST, TABLE = "manifest.json", "vectors.tsv"
COLUMNS = ("id", "file", "output", "profile", "runs", "unit_rms", "unit_max", "bound_max")


def write_kit(
    folder: str | os.PathLike[str],
    only: str = "*",
    told: Callable[[str], None] = lambda line: None,
) -> int:
    """Write the vectors whose ids match the glob; how many they are. Raises RefdiffError."""
    entries: list[dict[str, Any]] = []
    rows = ["\t".join(COLUMNS)]
    with whole_folder(folder, MANIFEST) as made:
        for vector in vectors(only):
            if not entries or group(entries[-1]["id"]) != group(vector.id):
                told(f"{group(vector.id)} ...")
            found = answer(vector)
            entries.append(write_vector(made, vector, found))
            rows += table(vector, found)
        if not entries:
            raise ConfigError(f"no vector matches {only!r:.100}; `ops/gelu/*` is a glob that does")
        manifest = {"schema": SCHEMA, "kit": KIT, "refdiff": __version__, "vectors": entries}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n")
        (made / TABLE).write_text("\n".join(rows) + "\n")
        for consumer in resources.files(__package__).joinpath("consumers").iterdir():
            if consumer.name.startswith("refdiff_kit."):
                (made / consumer.name).write_bytes(consumer.read_bytes())
    return len(entries)


def group(id: str) -> str:
    return id.split("/")[0]


def write_vector(folder: Path, vector: Vector, found: Answer) -> dict[str, Any]:
    """Write one file; its entry in the manifest."""
    tensors = {**asked(vector), **answered(found)}
    file = f"{vector.id}.safetensors"
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.write(path, tensors, {**metadata(vector.id, vector.of, vector.attributes)})
    return {
        "id": vector.id,
        "of": vector.of,
        "file": file,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "attributes": vector.attributes,
        "flags": vector.flags,
        "tensors": {
            name: {
                "dtype": safetensors.dtype_name(file, name, x),
                "shape": x.shape,
                "layout": vector.layouts.get(name, ""),
            }
            for name, x in tensors.items()
            if not name.startswith("neg.")
        },
        "outputs": {name: output.told() for name, output in found.outputs.items()},
        "negatives": {id: title for id, (title, _) in found.negatives.items()},
    }


def metadata(id: str, of: str, attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a vector's file says of itself beside its tensors."""
    told = json.dumps(attributes, ensure_ascii=False, allow_nan=False)
    return {"id": id, "of": of, "attributes": told, "refdiff": __version__}


def asked(vector: Vector) -> dict[str, Array]:
    """What an implementation is given."""
    inputs = {f"in.{name}": x for name, x in vector.inputs.items()}
    return inputs | {f"w.{name}": w for name, w in vector.weights.items()}


def answered(found: Answer) -> dict[str, Array]:
    """What should come out, and what comes out of each mistake: neg.<mistake>.out.<name>"""
    right = {f"out.{name}": output.value for name, output in found.outputs.items()}
    wrong = {
        f"neg.{id}.out.{name}": y.astype(np.float32)
        for id, (_, outputs) in found.negatives.items()
        for name, y in outputs.items()
    }
    return right | wrong


def table(vector: Vector, found: Answer) -> Iterator[str]:
    """The same as lines without nesting, for languages that have no reader of JSON at hand."""
    for name, output in found.outputs.items():
        for profile in output.noise:
            cells = (vector.id, f"{vector.id}.safetensors", f"out.{name}", profile)
            yield "\t".join((*cells, *figures(output, profile)))


def figures(output: Output, profile: str) -> Iterator[str]:
    """Runs, the unit that errors are measured in, and the bound, inf where there is none."""
    noise = output.noise[profile]
    bound = output.bound if profile == "float32" else None
    yield str(len(noise.runs))
    yield from (repr(float(x)) for x in (noise.unit.rms, noise.unit.largest))
    yield "inf" if bound is None else repr(float(bound))
