"""The commands that say whether an implementation is right: compare, vectors, verify."""

from refdiff.arguments import Commands, add_command, add_threads

COMPARE_EXAMPLES = """\
examples:
  refdiff compare reference.safetensors mine.npz --model FOLDER/unet
  refdiff compare reference.safetensors mine/ --model FOLDER --html report.html --junit report.xml
  refdiff compare reference.safetensors mine.npz --write-map names.json --waive "*.dropout*"
  refdiff compare reference.safetensors mine.npz --model FOLDER --explain unet.conv_in

exit code: 0 all is explained by rounding, 1 something is not, 2 usage or input, 3 something was
not compared, 4 not the same twice, 5 off by more than honest rounding, by less than a mistake
"""

KIT_EXAMPLES = """\
examples:
  refdiff vectors -o kit
  refdiff vectors -o norms --only "ops/*_norm/*"
  refdiff verify kit --exec "./mine {in} {out}"
  refdiff verify kit --dumps answers --precision float16 --only "ops/*" --junit report.xml

exit code of verify: 0 all is explained by rounding, 1 something is not, 2 usage or input,
3 something was not compared, 4 not the same twice, 5 off by more than honest rounding
"""

PRECISIONS = ("float32", "tf32", "float16", "bfloat16", "float64")


def add_compare(commands: Commands) -> None:
    """`refdiff compare`."""
    from refdiff.comparecommand import compare_run

    command = add_command(
        commands,
        "compare",
        compare_run,
        help="tell whether an implementation is right, where it is wrong, and why",
        description="Compare the tensors that another program computed with refdiff's: which are "
        "explained by rounding, which is the first that is not, and which mistake explains it.",
        examples=COMPARE_EXAMPLES,
    )
    add = command.add_argument
    add("reference", metavar="REFERENCE", help="what `refdiff trace` wrote")
    add("candidate", metavar="CANDIDATE", help="safetensors, npz, npy, pb, gguf, json or a folder")
    add("--model", metavar="PATH", help="what was run, so that each layer is judged by itself")
    add("--precision", choices=PRECISIONS, help="of the candidate (read from its numbers)")
    add("--weights", metavar="FILE", help="the candidate's own weights, to be compared first")
    add("--again", metavar="FILE", help="the candidate's tensors of the same run made once more")
    add("--map", metavar="FILE", help="JSON, reference name to candidate name")
    add("--write-map", metavar="FILE", help="write the names that were found, for --map")
    add_threads(command)
    add("--waive", action="append", default=[], metavar="GLOB", help="need not be there; repeat it")
    add("--no-diagnosis", dest="diagnosis", action="store_false", help="do not ask why")
    add("--html", metavar="FILE", help="write a page with pictures")
    add("--junit", metavar="FILE", help="write a test report for continuous integration")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="for a machine (docs/report.md)")
    shown.add_argument("--explain", metavar="NAME", help="show how this tensor was judged")
    shown.add_argument("--verbose", action="store_true", help="also show a line for each tensor")


def add_vectors(commands: Commands) -> None:
    """`refdiff vectors`."""
    from refdiff.kitcommand import vectors_run

    command = add_command(
        commands,
        "vectors",
        vectors_run,
        help="write the conformance kit",
        description="Write questions with their answers, as safetensors files, by which an "
        "implementation in any language can be judged (docs/kit.md).",
        examples=KIT_EXAMPLES,
    )
    add = command.add_argument
    add("-o", "--output", metavar="FOLDER", default="kit", help="to be written (%(default)s)")
    add("--only", metavar="GLOB", default="*", help="only vectors with such ids")
    add_threads(command)


def add_verify(commands: Commands) -> None:
    """`refdiff verify`."""
    from refdiff.kitcommand import verify_run

    command = add_command(
        commands,
        "verify",
        verify_run,
        help="judge an implementation by the conformance kit",
        description="Ask an implementation every question of the kit, tell which answers are "
        "explained by rounding, and which known mistake the others match.",
        examples=KIT_EXAMPLES,
    )
    add = command.add_argument
    add("kit", metavar="KIT", help="the folder that `refdiff vectors` wrote")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--exec", metavar="COMMAND", help='run once a vector: "./mine {in} {out}"')
    source.add_argument("--dumps", metavar="DIR", help="answers, in files named by vector ids")
    kept = PRECISIONS[0], *PRECISIONS[2:4]
    add("--precision", choices=kept, default="float32", help="of the answers (%(default)s)")
    add("--only", metavar="GLOB", default="*", help="only vectors with such ids")
    add("--twice", action="store_true", help="ask twice, and tell what is not the same")
    add_threads(command)
    add("--timeout", type=float, metavar="S", default=60.0, help="of one call, seconds (60)")
    add("--junit", metavar="FILE", help="write a test report for continuous integration")
    add("--json", action="store_true", help="for a machine (docs/report.md)")
