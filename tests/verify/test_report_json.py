"""The JSON is what docs/report.md and docs/report.schema.json say, key for key."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from refdiff.verify.report import Compared, Exit, Report
from refdiff.verify.verdict import State
from tests.verify.reports import full_report, report

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "report.schema.json").read_text())
PAGE = (DOCS / "report.md").read_text()


def paths(value: Any, before: str = "") -> Iterator[str]:
    """Every key, as "tensors[].local.rms"."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{before}.{key}".lstrip(".")
            yield from paths(inner, f"{before}.{key}".lstrip("."))
    if isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{before}[]")


def paths_of(schema: dict[str, Any], before: str = "") -> Iterator[str]:
    """The same of a schema."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    for key, inner in schema.get("properties", {}).items():
        yield f"{before}.{key}".lstrip(".")
        yield from paths_of(inner, f"{before}.{key}".lstrip("."))
    if "items" in schema:
        yield from paths_of(schema["items"], f"{before}[]")
    for inner in schema.get("oneOf", ()):
        yield from paths_of(inner, before)


def test_every_key_is_described_and_every_description_has_its_key() -> None:
    keys = section("## The keys")
    described = re.findall(r"^\| `([^`]+)` \|", keys, re.MULTILINE)
    emitted = set(paths(full_report().to_dict()))
    assert len(described) == len(set(described))
    assert set(described) == emitted == set(paths_of(SCHEMA))


def section(title: str) -> str:
    return PAGE[PAGE.index(title) :].partition("\n## ")[0]


def test_every_exit_code_is_described() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", section("## Exit codes"), re.MULTILINE)
    told = {int(code): re.findall(r"`(\w+)`", words) for code, words in rows}
    assert told == {
        code: {Exit.USAGE: [], Exit.UNEXPLAINED: ["unexplained", "impossible"]}.get(
            code, [code.name.lower()]
        )
        for code in Exit
    }


def valid(made: Report) -> dict[str, Any]:
    told = json.loads(made.to_json())
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    return told


def test_the_schema_is_one_and_holds() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    told = valid(full_report())
    assert told["verdict"] == "impossible" and told["exit_code"] == 1
    assert told["first_divergence"]["state"] == "unexplained"
    for state in State:
        valid(report("a", states=(state,)))
    assert valid(Report("", "", None, "float32", ()))["exit_code"] == Exit.INCOMPLETE


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("verdict"),
        lambda told: told.update(more=1),
        lambda told: told.update(exit_code="1"),
        lambda told: told["tensors"][0].pop("noise"),
        lambda told: told["tensors"][0]["total"].update(max_at=[0.5]),
        lambda told: told["tensors"][0].update(state="fine"),
        lambda told: told["diagnoses"][0]["diagnosis"][0].update(explains=None),
    ],
)
def test_the_schema_can_say_no(change: Any) -> None:
    told = json.loads(full_report().to_json())
    change(told)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(told)


def test_what_is_not_finite_is_null() -> None:
    (found,) = report("a", states=(State.EXPLAINED,)).tensors
    nothing = Compared("a", "a", "exact", "", None, None, None)
    assert found.total is not None
    level = replace(found.total.level, rms=math.inf)
    broken = replace(found, total=replace(found.total, level=level, slope=math.nan))
    told = valid(replace(report("a"), tensors=(nothing, broken)))
    assert told["tensors"][0]["rho"] is None and told["tensors"][0]["noise"] is None
    assert told["tensors"][1]["total"]["rms"] is None is told["tensors"][1]["total"]["slope"]
