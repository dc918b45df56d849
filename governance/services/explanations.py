"""Ask why a version decided as it did about one record (the right to an explanation)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from audits.actors import Command
from audits.checks.formats import FORMATS, SAFE_FORMATS
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.models import Explanation
from audits.services.explanations import order_explanation
from governance.data_read import data_of
from governance.in_force import versions_in_force
from governance.models import UseCase
from governance.services.evidence import materials_of, semantics_of
from governance.zones import zone_of
from registry.models import ModelVersion
from registry.selectors import model_version_by_id

MOST_FIELDS = 10_000
LONGEST_TEXT = 10_000


@service("explanation.requested")
def request_explanation(
    *, command: Command, version_id: UUID, given: dict[str, Any], lime: bool = False
) -> Result[Explanation]:
    """`given` is {column: value}. 403 unless the actor may; 422 for a file no check may run, or no record."""
    version = model_version_by_id(command.actor, version_id)
    require(command, "explanation.request", version.ref)
    if len(given) > MOST_FIELDS or not all(_plain(value) for value in given.values()):
        raise Unprocessable("record_malformed", subject=version.ref, field="record", limit=MOST_FIELDS)
    level = _permitted(version)
    semantics = semantics_of(version)
    try:
        zone = zone_of(version, data_of(version))
    except Unprocessable as refusal:
        refusal.subject = version.ref
        raise
    if zone is not None:
        semantics["zone"] = zone.declared
    question = {
        "semantics": semantics,
        "materials": [asdict(item) for item in materials_of(version) if item.role != "evaluation"],
        "seed": version.metadata["seed"],
        "lime": lime,
    }
    row = order_explanation(
        command,
        subject=version.ref,
        given=given,
        question=question,
        confinement_level=level,
        sources=zone.sources if zone is not None else None,
    )
    return Result(row)


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return value is None or isinstance(value, bool | int | float)


def _permitted(version: ModelVersion) -> int:
    """The level of confinement to ask for. A file that can run code needs a policy in force that accepts it."""
    bodies = [policy.body for policy in _policies(version)]
    format_ = version.metadata["format"]
    accepting = [body for body in bodies if format_ in body["artifact_formats"]]
    if format_ not in SAFE_FORMATS and not (format_ in FORMATS and accepting):
        accepted = sorted({*SAFE_FORMATS, *(name for body in bodies for name in body["artifact_formats"])})
        raise Unprocessable(
            "explanation_format_not_accepted",
            subject=version.ref,
            version=version.label,
            format=format_,
            accepted=accepted,
        )
    return max((int(body["confinement_level"]) for body in accepting or bodies), default=1)


def _policies(version: ModelVersion) -> list[Any]:
    use_case = UseCase.objects.filter(
        workspace_id=version.workspace_id, name=version.metadata["use_case"]
    ).first()
    return [
        policy
        for policy in versions_in_force(version.workspace_id)
        if use_case is not None
        and (
            policy.use_case == use_case.name
            or (not policy.use_case and use_case.risk_tier in policy.risk_tiers)
        )
    ]
