"""The commands `refdiff vectors`, which writes the conformance kit, and `refdiff verify`."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from refdiff.atomic import atomic_write, check_writable
from refdiff.comparecommand import say


def vectors_run(args: Namespace) -> Iterator[str]:
    """Write the kit. Raises RefdiffError."""
    from refdiff.verify.kit.write import write_kit

    count = write_kit(args.output, args.only, say)
    size = sum(path.stat().st_size for path in Path(args.output).rglob("*") if path.is_file())
    yield f"{args.output}: {count} vectors, {size / 1e6:.1f} MB"


def verify_run(args: Namespace) -> Iterator[str]:
    """Judge an implementation's answers. Raises RefdiffError."""
    from refdiff.verify.kit.answers import from_command, from_files
    from refdiff.verify.kit.text import screen
    from refdiff.verify.kit.verify import verify
    from refdiff.verify.report_junit import junit

    if args.junit is not None:
        check_writable(args.junit)
    if args.exec is not None:
        answers = from_command(args.exec, args.timeout)
    else:
        answers = from_files(args.dumps)
    report = verify(
        args.kit,
        answers,
        args.precision,
        only=args.only,
        twice=args.twice,
        candidate=args.exec or args.dumps,
    )
    if args.junit is not None:
        with atomic_write(args.junit) as file:
            file.write(junit(report).encode())
        say(f"wrote {args.junit}")
    args.status = report.exit_code
    yield report.to_json() if args.json else screen(report)
