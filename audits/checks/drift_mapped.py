"""Drift over several workers: the reference first, then counts of the current data in its cells, then the figures."""

from __future__ import annotations

from typing import Any

from audits.checks import mapped
from audits.checks.contract import CheckInput, CheckResult, Message
from audits.checks.drift import concluded, counts_for, reference_of
from audits.checks.drift_counts import CurrentCounts
from audits.checks.materials import Materials
from audits.checks.sketch_form import from_json

ROLE = "evaluation"
ROLES = (ROLE,)


def survey(inputs: CheckInput, materials: Materials) -> dict[str, Any] | None:
    """The reference, as it is stored; None for one of the first format."""
    found, notes = reference_of(materials)
    if found.groups is None:
        return None
    return {"reference": found.to_json(), "notes": [note.code for note in notes]}


def shares(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], part_rows: int
) -> list[dict[str, Any]]:
    return mapped.spans(materials, ROLE, part_rows)


def compute(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], share: dict[str, Any]
) -> dict[str, Any]:
    counts = _counts(inputs, materials, survey)
    for frame in mapped.frames(materials, share):
        counts.add(frame)
    return counts.to_json()


def conclude(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], results: list[dict[str, Any]]
) -> CheckResult:
    counts = _counts(inputs, materials, survey)
    for found in results:
        counts.merge(found)
    return concluded(inputs, materials, counts, [Message(code) for code in survey["notes"]])


def _counts(inputs: CheckInput, materials: Materials, survey: dict[str, Any]) -> CurrentCounts:
    return counts_for(inputs, materials, from_json(survey["reference"]))
