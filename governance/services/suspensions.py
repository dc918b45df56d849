"""Stopping a version or one placement of it, at once; and letting it go on, which is a grant and takes a second person.

Suspending and withdrawing bind when they are committed. Reinstating counts once its event is in a published checkpoint.
"""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command, SubjectRef
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden
from audits.ledger.record import record
from audits.services.reasons import require_reason
from governance.models import Exclusion, Placement, Suspension
from governance.services.standing import (
    locked_placement,
    locked_version,
    move_placement,
    move_version,
    placement_digest,
    refuse_open_promotions,
    version_digest,
    withdraw,
)
from governance.states import PlacementState
from registry.models import ModelVersion
from registry.selectors import model_version_by_id
from registry.states import VersionState


@service("placement.suspended")
def suspend_placement(*, command: Command, placement_id: UUID, reason: str) -> Result[Placement]:
    """Stop a version in one environment. Its open requests for later environments end with it."""
    placement = locked_placement(command.actor, placement_id)
    require(command, "placement.suspend", placement.ref)
    require_reason(reason, placement.ref)
    before = move_placement(placement, PlacementState.SUSPENDED)
    event = record(
        command,
        verb="placement.suspended",
        subject=placement.ref,
        texts={"reason": reason},
        before=before,
        after=placement_digest(placement),
        detail={"environment": placement.environment.name},
    )
    _open(command, placement.version, placement, event.id)
    about = {"version": placement.version.label, "environment": placement.environment.name}
    refuse_open_promotions(
        command, placement.version, Message("placement_suspended", about), placement.environment.position
    )
    return Result(placement, created=False)


@service("model_version.suspended")
def suspend_version(*, command: Command, version_id: UUID, reason: str) -> Result[ModelVersion]:
    """Stop a version everywhere. Its placements keep their states: they count again once it is reinstated."""
    seen = model_version_by_id(command.actor, version_id)
    version = locked_version(seen.id)
    require(command, "placement.suspend", version.ref)
    require_reason(reason, version.ref)
    before = move_version(version, VersionState.SUSPENDED)
    event = record(
        command,
        verb="model_version.suspended",
        subject=version.ref,
        texts={"reason": reason},
        before=before,
        after=version_digest(version),
    )
    _open(command, version, None, event.id)
    refuse_open_promotions(command, version, Message("version_suspended", {"version": version.label}))
    return Result(version, created=False)


@service("placement.reinstated")
def reinstate_placement(*, command: Command, placement_id: UUID, reason: str) -> Result[Placement]:
    """Let it go on: what it was before, or superseded if another version went live in its place meanwhile."""
    placement = locked_placement(command.actor, placement_id)
    person = _second_person(command, placement.ref)
    require_reason(reason, placement.ref)
    if placement.state != PlacementState.SUSPENDED:
        raise Conflict(
            "placement_transition", subject=placement.ref, state=placement.state, wanted=PlacementState.LIVE
        )
    if placement.version.state == VersionState.RETIRED:
        raise Conflict("version_not_registered", subject=placement.ref, state=placement.version.state)
    duties = Exclusion.objects.filter(promotion_id=placement.promotion_id, person_id=person)
    if hands := sorted(duties.values_list("duty", flat=True)):
        raise Forbidden("separation_of_duties", subject=placement.ref, duties=hands)
    suspension = _suspension(placement.version, placement)
    _by_another(suspension, person, placement.ref)
    before = placement_digest(placement)
    if placement.successor is None and (successor := _in_its_place(placement)) is not None:
        placement.successor, placement.superseding_event = successor, successor.granted_event
    move_placement(
        placement, PlacementState.SUPERSEDED if placement.successor is not None else PlacementState.LIVE
    )
    event = record(
        command,
        verb="placement.reinstated",
        subject=placement.ref,
        texts={"reason": reason},
        before=before,
        after=placement_digest(placement),
        detail={"environment": placement.environment.name, "state": placement.state},
    )
    _lift(suspension, event.id, person)
    return Result(placement, created=False)


@service("model_version.reinstated")
def reinstate_version(*, command: Command, version_id: UUID, reason: str) -> Result[ModelVersion]:
    """Let a suspended version go on. Its author may not, nor whoever suspended it."""
    seen = model_version_by_id(command.actor, version_id)
    version = locked_version(seen.id)
    person = _second_person(command, version.ref)
    require_reason(reason, version.ref)
    if version.state != VersionState.SUSPENDED:
        raise Conflict(
            "version_transition",
            subject=version.ref,
            state=version.state,
            wanted=VersionState.REGISTERED,
        )
    duties = Exclusion.objects.filter(promotion__version=version, person_id=person)
    hands = set(duties.values_list("duty", flat=True)) | (
        {"author"} if version.author_id == person else set()
    )
    if hands:
        raise Forbidden("separation_of_duties", subject=version.ref, duties=sorted(hands))
    suspension = _suspension(version, None)
    _by_another(suspension, person, version.ref)
    before = move_version(version, VersionState.REGISTERED)
    event = record(
        command,
        verb="model_version.reinstated",
        subject=version.ref,
        texts={"reason": reason},
        before=before,
        after=version_digest(version),
    )
    _lift(suspension, event.id, person)
    return Result(version, created=False)


@service("placement.withdrawn")
def withdraw_placement(*, command: Command, placement_id: UUID, reason: str) -> Result[Placement]:
    """Take a version out of an environment for good; coming back is a new request."""
    placement = locked_placement(command.actor, placement_id)
    require(command, "placement.withdraw", placement.ref)
    require_reason(reason, placement.ref)
    withdraw(command, placement, cause="request", texts={"reason": reason})
    about = {"version": placement.version.label, "environment": placement.environment.name}
    refuse_open_promotions(
        command, placement.version, Message("placement_withdrawn", about), placement.environment.position
    )
    return Result(placement, created=False)


def _open(command: Command, version: ModelVersion, placement: Placement | None, event: UUID) -> None:
    Suspension.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        placement=placement,
        event_id=event,
        person_id=command.actor.person,
    )


def _second_person(command: Command, ref: SubjectRef) -> UUID:
    require(command, "promotion.decide", ref)
    person = command.actor.person
    if person is None or command.actor.kind != "person":
        raise Forbidden("not_permitted", subject=ref, action="promotion.decide")
    return person


def _suspension(version: ModelVersion, placement: Placement | None) -> Suspension:
    return Suspension.objects.select_for_update().get(version=version, placement=placement, lifted_event=None)


def _by_another(suspension: Suspension, person: UUID, ref: SubjectRef) -> None:
    if suspension.person_id == person:
        raise Forbidden("own_suspension", subject=ref)


def _lift(suspension: Suspension, event: UUID, person: UUID) -> None:
    suspension.lifted_event, suspension.lifted_by = event, person
    suspension.save(update_fields=["lifted_event", "lifted_by"])


def _in_its_place(placement: Placement) -> Placement | None:
    """The one that is live where this one stood, if only one may be."""
    if not placement.exclusive:
        return None
    return Placement.objects.filter(
        model_id=placement.model_id,
        environment_id=placement.environment_id,
        state=PlacementState.LIVE,
        exclusive=True,
    ).first()
