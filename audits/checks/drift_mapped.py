"""Drift over several workers: the reference first, then the evaluation data counted in its cells, then the figures."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from audits.checks import mapped
from audits.checks.contract import CheckError, CheckInput, CheckResult, Message
from audits.checks.drift import concluded, counts_for, reference_of
from audits.checks.drift_counts import CurrentCounts
from audits.checks.materials import Materials
from audits.checks.sketch_form import UNREADABLE, Reference, from_json

ROLES = ("evaluation",)


def survey(inputs: CheckInput, materials: Materials) -> dict[str, Any] | None:
    """The reference, as it is stored; None where it would not come back as it is (a very long level, say)."""
    found, notes = reference_of(materials)
    told = {
        "reference": found.to_json(),
        "grouped": found.groups is not None,
        "notes": [asdict(note) for note in notes],
    }
    try:
        return told if _reference(told) == found else None
    except (CheckError, *UNREADABLE):
        return None


def shares(
    inputs: CheckInput, materials: Materials, survey: dict[str, Any], part_rows: int
) -> list[dict[str, Any]]:
    return mapped.spans(materials, ROLES[0], part_rows)


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
    return concluded(inputs, materials, counts, [Message(**note) for note in survey["notes"]])


def _counts(inputs: CheckInput, materials: Materials, survey: dict[str, Any]) -> CurrentCounts:
    return counts_for(inputs, materials, _reference(survey))


def _reference(told: dict[str, Any]) -> Reference:
    found = from_json(told["reference"])
    return found if told["grouped"] else replace(found, groups=None)
