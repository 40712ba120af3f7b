"""Comparing an implementation with refdiff; what does it is imported on first use."""

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from refdiff.op import Array

if TYPE_CHECKING:
    from refdiff.verify.report import Report

Dump = str | os.PathLike[str] | Mapping[str, Array]


def compare(
    reference: Dump,
    candidate: Dump,
    model: Any = None,
    *,
    table: Mapping[str, str] | None = None,
    waive: Collection[str] = (),
    precision: str | None = None,
    weights: Dump | None = None,
    again: Dump | None = None,
    diagnosing: bool = True,
    told: Callable[[str], None] = lambda line: None,
) -> "Report":
    """Judge every tensor of a candidate's dump: right or wrong, where, why.

    reference: what `refdiff trace` wrote, or a mapping; candidate: a dump in any format, or a
    mapping. model: a path or what `refdiff.load` gave; with it each layer is judged by its own
    error. table: reference name -> candidate name. waive: globs of names that need not be compared.
    precision: of the candidate; else it is read from its bits. weights: the candidate's own, to be
    compared first and then computed with. again: a dump of the same run made once more. told: is
    told what is being done.
    Raises RefdiffError for what cannot be read or run.
    """
    from refdiff.verify.compare import compare as judged

    return judged(
        reference,
        candidate,
        model,
        table=table,
        waive=waive,
        precision=precision,
        weights=weights,
        again=again,
        diagnosing=diagnosing,
        told=told,
    )
