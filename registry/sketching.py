"""Make one reference sketch in the confined child, look at it with distrust, keep it. Called by the worker only."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from threading import Event
from typing import Any
from uuid import UUID

import rfc8785

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckError, CheckResult, Material, Message
from audits.checks.sketch_form import DIGITS, MAX_BYTES, ZONE_DIGITS, Reference, admitted
from audits.checks.zones import Zone, may_leave
from audits.errors import Conflict
from audits.services.confined import child_outcome, environment_of, kept_alive
from registry.models import ReferenceSketch
from registry.services.sketches import MAX_ATTEMPTS, claim, fail_sketch, keep_sketch, renew

ENTRY = "audits.checks.sketching:execute"
LEVEL = 1  # of confinement: no model file is read


def make_sketch(sketch_id: UUID) -> ReferenceSketch | None:
    """The finished sketch, or None if it was not ours to make."""
    row = claim(sketch_id)
    if row is None:
        return None
    environment: dict[str, object] = {}
    made: Reference | Message
    if row.attempts > MAX_ATTEMPTS:
        made = Message("check_killed_workers", {"attempts": row.attempts - 1})
    else:
        with kept_alive(lambda: renew(row.id, row.fence), f"reference sketch {row.id}") as lost:
            made, environment = _made(row, lost)
    command = Command(system_actor("worker", row.workspace_id))
    held: dict[str, Any] = {"sketch_id": row.id, "fence": row.fence, "run_environment": environment}
    try:
        if isinstance(made, Message):
            return fail_sketch(command=command, error=made, **held).value
        content = io.BytesIO(rfc8785.dumps(made.to_json()))
        stored = blobs.store(row.workspace_id, content, cap=2 * MAX_BYTES)
        return keep_sketch(command=command, stored=stored, found=made, **held).value
    except Conflict:
        return None


def _made(row: ReferenceSketch, lost: Event) -> tuple[Reference | Message, dict[str, object]]:
    """The sketch as it may be stored, or why there is none; and what it was made in."""
    version, dataset = row.version, row.version.dataset
    question: dict[str, Any] = {
        "check": "",
        "semantics": {},
        "materials": [asdict(Material("reference", version.digest, version.format, version.dialect))],
        "sensitive": version.sensitive,
        "k": row.k,
        "digits": DIGITS if dataset.zone is None else ZONE_DIGITS,
    }
    if dataset.zone is not None:
        question["semantics"]["zone"] = {
            "name": dataset.zone,
            "k": row.k,
            "columns": sorted(version.column_names),
        }
    outcome = child_outcome(
        row.workspace_id,
        question,
        required_level=LEVEL,
        sources={version.digest: version.uri} if dataset.zone is not None else None,
        lost=lost,
        entry=ENTRY,
    )
    zone = Zone.of(question)
    try:
        return _taken(outcome.result, outcome.error, row.k, zone), environment_of(outcome)
    except CheckError as error:
        said = error.message
    if zone is not None:  # an error may quote what it stumbled over
        left = may_leave(CheckResult("errored", error=said), question, zone).error
        said = left or Message("errored_in_zone", {"zone": zone.name})
    return said, environment_of(outcome)


def _taken(answer: dict[str, Any] | None, error: Message | None, k: int, zone: Zone | None) -> Reference:
    """What the child gave, if it may be stored: nothing of it is believed. Raises CheckError."""
    if answer is None:
        failed = error or Message("check_crashed")
        raise CheckError(failed.code, **failed.params)
    if "error" in answer:
        raise CheckError(str(answer["error"]["code"]), **answer["error"]["params"])
    found = admitted(answer.get("sketch"), k, None if zone is None else ZONE_DIGITS)
    return found if zone is None else _declared(found, frozenset(zone.columns))


def _declared(found: Reference, columns: frozenset[str]) -> Reference:
    """Without columns that were not declared: nobody outside the zone has named them."""
    return replace(
        found,
        columns={name: each for name, each in found.columns.items() if name in columns},
        groups={
            attribute: replace(
                each, columns={name: parts for name, parts in each.columns.items() if name in columns}
            )
            for attribute, each in (found.groups or {}).items()
            if attribute in columns
        },
    )
