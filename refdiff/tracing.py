"""Taking a trace of refdiff's own pipelines and components."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any, Protocol, Unpack

from refdiff.op import around, current_engine
from refdiff.trace import Passenger, Trace
from refdiff.tracefile import Options, taking

PARTS = ("unet", "vae", "text_encoder")


class Traceable(Protocol):
    """Whatever can hand its values to a recorder while a `with` lasts."""

    def recording(self, trace: Passenger) -> AbstractContextManager[None]: ...


@contextmanager
def trace(target: Traceable, **options: Unpack[Options]) -> Iterator[Trace]:
    """Record every named value that `target` (a pipeline or a component) computes inside.

    The options are those of `refdiff.tracefile.taking`: level, include, exclude, steps, to,
    sketch, max_bytes, about. Without `to` the arrays stay in memory: t[name], t.save(path).
    """
    options["about"] = {"model": configs(target), **options.get("about", {})}
    with taking(**options) as taken, target.recording(taken):
        taken.notes["engine"] = str(current_engine())  # a pipeline that chooses says so itself
        with around(taken.op) if options.get("level") == "op" else nullcontext():
            yield taken


def configs(target: Any) -> dict[str, Any]:
    """The configuration of each network in a pipeline, or of one alone."""
    parts = [target, *(getattr(target, name, None) for name in PARTS)]
    return {part.name: asdict(part.config) for part in parts if hasattr(part, "config")}
