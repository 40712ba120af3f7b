"""The XML is what continuous integration reads: its structure, its counts, its words."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from refdiff.verify.report import Report
from refdiff.verify.report_junit import junit
from refdiff.verify.verdict import State
from tests.verify.reports import full_report, report
from tests.verify.test_report_html import HOSTILE

COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def suite_of(made: Report) -> ElementTree.Element:
    """The one suite, once its structure is known to be right."""
    root = ElementTree.fromstring(junit(made).encode())
    assert root.tag == "testsuites" and [child.tag for child in root] == ["testsuite"]
    suite = root[0]
    assert {*suite.keys()} == {"name", "tests", "failures", "errors", "skipped", "time"}
    assert int(suite.attrib["tests"]) == len(suite) and float(suite.attrib["time"]) >= 0
    for case in suite:
        assert case.tag == "testcase" and {*case.keys()} == {"classname", "name", "time"}
        assert case.attrib["classname"] and case.attrib["name"] and len(case) <= 1
        assert all(c.tag == "system-out" or c.attrib["message"] for c in case)
    for kind, plural in COUNTED.items():
        assert int(suite.attrib[plural]) == len(suite.findall(f"testcase/{kind}"))
        assert root.attrib[plural] == suite.attrib[plural]
    return suite


def outcomes(suite: ElementTree.Element) -> list[str]:
    return [next((child.tag for child in case), "") for case in suite]


def test_every_outcome() -> None:
    suite = suite_of(full_report())
    tensors, rest = outcomes(suite)[:4], outcomes(suite)[4:]
    assert tensors == ["", "system-out", "failure", "failure"]
    assert rest == ["error", "skipped", "failure", "failure"]
    guilty = suite[3]
    assert guilty.attrib["classname"] == "down_blocks.0"
    assert guilty.attrib["name"] == "down_blocks.0.resnets.0.norm1"
    assert "impossible" in guilty[0].attrib["message"]
    assert "bound of float32" in (guilty[0].text or "")


@pytest.mark.parametrize("state", State)
def test_it_passes_where_nothing_is_wrong(state: State) -> None:
    suite = suite_of(report("a", "b", states=(state,)))
    failed = int(suite.attrib["failures"]) > 0
    assert failed == (state >= State.UNEXPLAINED)


def test_comparing_nothing_is_an_error() -> None:
    assert outcomes(suite_of(Report("", "", None, "float32", ()))) == ["error"]


def test_hostile_names() -> None:
    suite = suite_of(full_report(HOSTILE))
    assert suite[3].attrib["name"].startswith("<script>alert('x')</script>\"")
    assert "\ufffd" in suite[3].attrib["name"]
    made = replace(full_report(), warnings=("]]>",), weights=("]]>&lt;",))
    assert suite_of(made)[6].attrib["name"] == "]]>&lt;"
