"""The end of a version: terminal, at commit. Kept for ever as a record; its numbers and events stay readable."""

from __future__ import annotations

from uuid import UUID

from audits.actors import Actor, Command
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import record
from audits.services.reasons import require_reason
from governance.models import Alias, Retirement
from governance.services.aliases import take_away
from governance.services.standing import (
    locked_version,
    move_version,
    placements_for_update,
    refuse_open_promotions,
    version_digest,
    withdraw,
)
from governance.states import PlacementState
from registry.models import ModelVersion
from registry.selectors import model_version, model_version_by_id
from registry.states import VersionState


@service("model_version.retired")
def retire_version(
    *, command: Command, version_id: UUID, reason: str, successor: str = ""
) -> Result[Retirement]:
    """Withdraw it everywhere, end its requests, take its aliases away. `successor` is the `name@n` to use instead."""
    seen = model_version_by_id(command.actor, version_id)
    version = locked_version(seen.id)
    require(command, "model_version.retire", version.ref)
    require_reason(reason, version.ref)
    following = _successor(command.actor, version, successor) if successor else None
    before = move_version(version, VersionState.RETIRED)
    event = record(
        command,
        verb="model_version.retired",
        subject=version.ref,
        texts={"reason": reason},
        before=before,
        after=version_digest(version),
        detail={"successor": following.label if following is not None else None},
    )
    placements = placements_for_update().filter(version=version).exclude(state=PlacementState.WITHDRAWN)
    for placement in placements.order_by("id"):
        withdraw(command, placement, cause="retirement")
    refuse_open_promotions(command, version, Message("version_retired", {"version": version.label}))
    for alias in Alias.objects.select_for_update(of=("self",)).filter(version=version).order_by("id"):
        take_away(command, alias, cause="retirement")
    retirement = Retirement.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        successor=following,
        event_id=event.id,
        retired_by=command.actor.id,
    )
    return Result(retirement)


def _successor(actor: Actor, version: ModelVersion, reference: str) -> ModelVersion:
    name, _, n = reference.rpartition("@")
    try:
        if not (n.isascii() and n.isdecimal() and len(n) < 10):
            raise NotFound("not_found", kind="model version", name=reference)
        found = model_version(actor, name, int(n))
    except NotFound as error:
        raise Unprocessable(
            "successor_unknown", subject=version.ref, field="successor", reference=reference[:300]
        ) from error
    if found.id == version.id:
        raise Unprocessable(
            "successor_is_itself", subject=version.ref, field="successor", reference=reference[:300]
        )
    if found.state == VersionState.RETIRED:
        raise Conflict("successor_retired", subject=version.ref, version=found.label)
    return found
