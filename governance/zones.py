"""The data zone the checks of a version run in: where its data is, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audits.checks.formats import SAFE_FORMATS
from audits.errors import Unprocessable
from registry.models import DatasetVersion, ModelVersion


@dataclass(frozen=True)
class InZone:
    """`declared` goes into the question as `semantics["zone"]`; `sources` tells workers there where the data lies."""

    declared: dict[str, Any]
    sources: dict[str, str]


def zone_of(version: ModelVersion, read: Sequence[DatasetVersion]) -> InZone | None:
    """The zone of the data that is read; None where none of it has one, and the question is as it always was.

    Unprocessable where several zones would have to see each other's data, and for a model file that can run code: it
    could write what it sees into the result itself.
    """
    inside = [row for row in read if row.dataset.zone is not None]
    if not inside:
        return None
    names = sorted({str(row.dataset.zone) for row in inside})
    if len(names) > 1:
        raise Unprocessable("several_zones", version=version.label, zones=names)
    if version.metadata["format"] not in SAFE_FORMATS:
        raise Unprocessable(
            "zone_format_refused",
            zone=names[0],
            format=version.metadata["format"],
            accepted=sorted(SAFE_FORMATS),
        )
    declared = {
        "name": names[0],
        "k": max(row.dataset.smallest_cell or 0 for row in inside),
        "columns": sorted({name for row in read for name in row.column_names}),
    }
    return InZone(declared, {row.digest: row.uri for row in inside})
