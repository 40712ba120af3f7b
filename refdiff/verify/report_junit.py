"""The answer as JUnit's XML, which continuous integration reads: a test case for each tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from refdiff.verify.labels import block_of, clean
from refdiff.verify.report import Compared, NotCompared, Report
from refdiff.verify.verdict import State, explain

KINDS = {"failure": "failures", "error": "errors", "skipped": "skipped"}  # as the suite counts them


@dataclass(frozen=True)
class Case:
    """A test case; `outcome` is "" where it passes, otherwise the element that says why not."""

    block: str
    name: str
    outcome: str = ""
    message: str = ""
    details: str = ""


def junit(report: Report) -> str:
    """The XML text.

    Not explained and impossible are failures, not compared is an error, waived is skipped; loose
    passes, and says so.
    """
    cases = list(_cases(report))
    counts = {plural: sum(c.outcome == kind for c in cases) for kind, plural in KINDS.items()}
    told = {"tests": len(cases), **counts, "time": 0}
    suites = ElementTree.Element("testsuites", _strings(told))
    named = {"name": f"refdiff compare, {report.profile}", **told}
    suite = ElementTree.SubElement(suites, "testsuite", _strings(named))
    for case in cases:
        _add(suite, case)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode")


def _cases(report: Report) -> Iterator[Case]:
    yield from map(_compared, report.tensors)
    yield from map(_not_compared, report.not_compared)
    for line in report.weights:
        yield Case("weights", line, "failure", line)
    for name in report.nondeterministic:
        yield Case("nondeterministic", name, "failure", f"{name} is not the same twice")
    if not report.tensors and not report.not_compared:
        yield Case("refdiff", "compare", "error", "there was nothing to compare")


def _compared(t: Compared) -> Case:
    outcome = "failure" if t.state >= State.UNEXPLAINED else ""
    message = f"{t.state}: {t.rho:.3g} times honest rounding"
    details = "" if t.judged is None or t.state == State.EXPLAINED else explain(t.judged)
    return Case(block_of(t.name), t.name, outcome, message, details)


def _not_compared(n: NotCompared) -> Case:
    outcome = "skipped" if n.waived else "error"
    return Case(block_of(n.name), n.name, outcome, f"{n.reason}: {n.detail}")


def _add(suite: ElementTree.Element, case: Case) -> None:
    told = _strings({"classname": case.block, "name": case.name, "time": 0})
    element = ElementTree.SubElement(suite, "testcase", told)
    if case.outcome:
        message = _strings({"message": case.message})
        ElementTree.SubElement(element, case.outcome, message).text = clean(case.details)
    elif case.details:  # loose
        ElementTree.SubElement(element, "system-out").text = clean(case.details)


def _strings(attributes: Mapping[str, object]) -> dict[str, str]:
    return {key: clean(str(value)) for key, value in attributes.items()}
