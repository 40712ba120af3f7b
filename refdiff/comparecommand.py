"""The command `refdiff compare`: whether an implementation is right, where it is wrong, why."""

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from refdiff.atomic import atomic_write, check_writable
from refdiff.comparing import compare
from refdiff.errors import ConfigError

if TYPE_CHECKING:  # what compares is imported only where something is compared
    from refdiff.verify.report import Report


def compare_run(args: Namespace) -> Iterator[str]:
    """Compare, write the files that are wanted, give out the answer. Raises RefdiffError."""
    from refdiff.verify.matching import read_table
    from refdiff.verify.report_html import page
    from refdiff.verify.report_junit import junit
    from refdiff.verify.report_text import each

    files: list[tuple[str | None, Callable[[Report], str]]]
    files = [(args.html, page), (args.junit, junit), (args.write_map, name_map)]
    wanted = [(path, make) for path, make in files if path is not None]
    for path, _ in wanted:
        check_writable(path)
    report = compare(
        args.reference,
        args.candidate,
        args.model,
        table=None if args.map is None else read_table(args.map),
        waive=args.waive,
        precision=args.precision,
        weights=args.weights,
        again=args.again,
        diagnosing=args.diagnosis,
        told=say,
    )
    for path, make in wanted:
        with atomic_write(path) as file:
            file.write(make(report).encode())
        say(f"wrote {path}")
    args.status = report.exit_code
    if args.json:
        yield report.to_json()
    elif args.explain is not None:
        yield explained(report, args.explain)
    else:
        yield from each(report) if args.verbose else ()
        yield str(report)


def say(line: str) -> None:
    """What is being done, for whoever waits."""
    print(f"refdiff: {line}", file=sys.stderr, flush=True)


def name_map(report: "Report") -> str:
    """Reference name -> candidate name as JSON, to be given to --map again.

    A candidate's tensor that holds several of the reference's is left out: it is found by content.
    """
    pairs = {t.name: t.candidate for t in report.tensors if t.total is not None}
    held = Counter(pairs.values())
    alone = {name: other for name, other in pairs.items() if held[other] == 1}
    return json.dumps(alone, indent=1, ensure_ascii=False) + "\n"


def explained(report: "Report", name: str) -> str:
    """All that a verdict follows from, with its numbers. Raises ConfigError for no such tensor."""
    from refdiff.verify.verdict import explain

    judged = {t.name: t.judged for t in report.tensors}
    open_ = {
        n.name: f"{n.name} was not compared: {n.reason}, {n.detail}" for n in report.not_compared
    }
    if name in open_:
        return open_[name]
    verdict = judged.get(name)
    if verdict is None:
        near = get_close_matches(name, [*judged, *open_], 3)
        hint = f"did you mean {', '.join(near)}?" if near else "--verbose lists every name."
        raise ConfigError(f"--explain {name!r:.200} names no tensor that was compared; {hint}")
    return f"{name}\n{explain(verdict)}"
