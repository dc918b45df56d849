"""Back to the version that was live before, in one call: the current placement ends at commit, the older one is granted
again. Between the two, until the grant is in a published checkpoint, nothing is allowed there.

The older version is not measured again: what it was granted on still stands in its promotion. It has to be registered,
and to have been live in that environment: what was superseded before it ever counted is no way back. Nor is what the
gate would refuse for a finding, a condition, a waiver or a re-review.
"""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict
from audits.ids import uuid7
from audits.ledger.inclusion import published_at
from audits.ledger.record import lock, record
from audits.models import Event
from audits.services.reasons import require_reason
from governance.hindrances import hindrances
from governance.models import Environment, Placement, Suspension
from governance.services.standing import (
    environment_named,
    granted_at,
    model_for,
    move_placement,
    placement_digest,
    placements_for_update,
    refuse_open_promotions,
    withdraw,
)
from governance.standings import moment
from governance.states import PlacementState
from registry.models import Model
from registry.states import VersionState

STANDING = (PlacementState.LIVE, PlacementState.SUSPENDED)


@service("placement.restored")
def roll_back(
    *,
    command: Command,
    model: str,
    environment: str,
    reason: str,
    to: int | None = None,
    away_from: UUID | None = None,
) -> Result[Placement]:
    """The placement that is granted again. `to` is the number of a version; by default the last one that was live.
    `away_from`: the placement that is meant to end; 409 if it is not the one that stands there any more.

    409 if somebody else changed what is live between our reading it and our turn: two people who press the button at
    once mean one step back, not two.
    """
    row = model_for(command.actor, model, "placement.rollback")
    require(command, "placement.rollback", row.ref)
    require_reason(reason, row.ref)
    place = environment_named(row.workspace_id, environment, row.ref)
    if not place.exclusive:
        raise Conflict("environment_not_exclusive", subject=row.ref, environment=place.name)
    seen = _signature(row, place)
    lock(row.workspace_id, row.ref)
    placements = list(
        placements_for_update().filter(model=row, environment=place, exclusive=True).order_by("id")
    )
    granted = granted_at(placements)
    current = _current(placements, granted)
    stale = away_from is not None and (current is None or current.id != away_from)
    if stale or _signature(row, place) != seen:
        raise Conflict("changed_meanwhile", subject=row.ref, environment=place.name)
    if current is not None and _is_waiting_restoration(current):
        raise Conflict("rollback_not_effective_yet", subject=row.ref, version=current.version.label)
    target = _target(row, place, placements, current, granted, to)
    if current is not None:
        withdraw(command, current, cause="rollback", texts={"reason": reason})
        about = {"version": current.version.label, "environment": place.name}
        refuse_open_promotions(
            command, current.version, Message("placement_withdrawn", about), place.position
        )
    before = placement_digest(target)
    target.successor, target.superseding_event, target.granted_event = None, None, uuid7()
    move_placement(target, PlacementState.LIVE)
    record(
        command,
        event_id=target.granted_event,
        verb="placement.restored",
        subject=target.ref,
        texts={"reason": reason},
        before=before,
        after=placement_digest(target),
        detail={
            "environment": place.name,
            "promotion": str(target.promotion_id),
            "withdrawn": str(current.id) if current is not None else None,
        },
    )
    return Result(target)


def _signature(model: Model, environment: Environment) -> list[tuple[UUID, str, UUID]]:
    rows = Placement.objects.filter(model=model, environment=environment, state__in=STANDING).order_by("id")
    return list(rows.values_list("id", "state", "granted_event"))


def _current(placements: list[Placement], granted: dict[UUID, float]) -> Placement | None:
    """What is live there, or was until it was suspended: usually it is suspended first and rolled back then."""
    live = [row for row in placements if row.state == PlacementState.LIVE]
    stopped = [
        row for row in placements if row.state == PlacementState.SUSPENDED and row.successor_id is None
    ]
    return max(live or stopped, key=lambda row: granted[row.id], default=None)


def _is_waiting_restoration(placement: Placement) -> bool:
    if published_at([placement.granted_event]):
        return False
    return Event.objects.filter(id=placement.granted_event, verb="placement.restored").exists()


def _target(
    model: Model,
    environment: Environment,
    placements: list[Placement],
    current: Placement | None,
    granted: dict[UUID, float],
    to: int | None,
) -> Placement:
    older = sorted(
        (row for row in placements if row != current), key=lambda row: granted[row.id], reverse=True
    )
    if to is None:
        fit = [row for row in older if not _unfit(row)]
        if not fit:
            against = next((found for row in older if (found := _against(row))), ())
            raise Conflict(
                "nothing_to_roll_back_to", subject=model.ref, reasons=against, environment=environment.name
            )
        return fit[0]
    named = [row for row in older if row.version.n == to]
    label = f"{model.name}@{to}"
    if not named:
        raise Conflict("never_live_there", subject=model.ref, version=label, environment=environment.name)
    fit = [row for row in named if not _unfit(row)]
    if not fit:
        raise Conflict(
            _unfit(named[0]),
            subject=model.ref,
            reasons=_against(named[0]),
            version=label,
            environment=environment.name,
        )
    return fit[0]


def _unfit(placement: Placement) -> str:
    """Why it is no way back; "" if it is one."""
    if placement.version.state != VersionState.REGISTERED:
        return f"version_{placement.version.state}"
    if placement.state != PlacementState.SUPERSEDED:
        return f"placement_{placement.state}"
    lifted = Suspension.objects.filter(version=placement.version, lifted_event__isnull=False)
    pending = [row.lifted_event for row in lifted if row.placement_id in (None, placement.id)]
    if len(published_at(event for event in pending if event)) < len(pending):
        return "reinstatement_not_effective_yet"
    events = [event for event in (placement.granted_event, placement.superseding_event) if event]
    effective = published_at(events)
    since = effective.get(placement.granted_event)
    ended = effective.get(placement.superseding_event) if placement.superseding_event else None
    if since is None or (ended is not None and ended <= since):
        return "never_live_there"
    # The gate would be shut for it as soon as it is back: then nothing at all would be allowed there.
    return "hindered_there" if _against(placement) else ""


def _against(placement: Placement) -> tuple[Message, ...]:
    return hindrances([placement], moment(None))[placement.id].shut
