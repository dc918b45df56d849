"""What the services after the grant share: locked rows, reasons, and ending what a restriction leaves without ground.

Every one of them locks the model's head first, like promotions: a suspension and a grant of one model never cross.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from audits.actors import Actor, Command, SubjectRef, authoriser
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.errors import NotFound, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Event
from audits.services.steps import stepped
from governance.authority import Authority
from governance.dossier import assess
from governance.models import Environment, Placement, Promotion
from governance.services.outcomes import move
from governance.services.reopening import state_digest
from governance.states import OPEN_PROMOTION, PLACEMENT, PlacementState, PromotionState
from registry.models import Model, ModelVersion
from registry.selectors import found, model_versions, models
from registry.states import VERSION, VersionState


def model_for(actor: Actor, name: str, action: str) -> Model:
    """A model by name, for whoever may read the registry or may do this: a deploy job needs no reading role."""
    acted_on = Authority().reached(actor, action, Model.objects.filter(name=name)).first()
    return acted_on or found(models(actor).filter(name=name), "model", name)


def version_for(actor: Actor, name: str, n: int, action: str) -> ModelVersion:
    label = f"{name}@{n}"
    rows = ModelVersion.objects.filter(model__name=name, n=n).select_related("model")
    acted_on = Authority().reached(actor, action, rows).first()
    return acted_on or found(model_versions(actor).filter(model__name=name, n=n), "model version", label)


def environment_named(workspace: UUID, name: str, subject: SubjectRef | None) -> Environment:
    environments = list(Environment.objects.filter(workspace_id=workspace).order_by("position"))
    for environment in environments:
        if environment.name == name:
            return environment
    raise Unprocessable(
        "environment_unknown",
        subject=subject,
        field="environment",
        name=name,
        known=[environment.name for environment in environments],
    )


def locked_version(version_id: UUID) -> ModelVersion:
    seen = ModelVersion.objects.select_related("model").get(id=version_id)
    lock(seen.workspace_id, seen.model.ref, seen.ref)
    return ModelVersion.objects.select_for_update(of=("self",)).select_related("model").get(id=version_id)


def locked_placement(actor: Actor, placement_id: UUID) -> Placement:
    """404 for what the actor may not see. What may be done to it is asked after this."""
    rows = Placement.objects.filter(id=placement_id).select_related("version__model")
    seen = authoriser().visible(actor, rows).first()
    if seen is None:
        raise NotFound("not_found", kind="placement", name=str(placement_id))
    lock(seen.workspace_id, seen.model.ref, seen.ref)
    return placements_for_update().get(id=placement_id)


def placements_for_update() -> QuerySet[Placement]:
    return Placement.objects.select_for_update(of=("self",)).select_related(
        "version__model", "model", "environment"
    )


def granted_at(placements: Iterable[Placement]) -> dict[UUID, float]:
    """When each was granted last, by the clock of the database (its events), as seconds since 1970."""
    by_event = {row.granted_event: row.id for row in placements}
    events = Event.objects.filter(id__in=by_event).values_list("id", "at")
    return {by_event[event]: at.timestamp() for event, at in events}


def placement_digest(placement: Placement) -> str:
    return digest_of({"state": placement.state, "promotion": str(placement.promotion_id)})


def move_placement(placement: Placement, wanted: PlacementState) -> str:
    """Take the step and save; the digest of the state before. 409 if the table does not allow it."""
    before = placement_digest(placement)
    placement.state = stepped("placement_transition", placement.ref, PLACEMENT, placement.state, wanted)
    placement.save()
    return before


def version_digest(version: ModelVersion) -> str:
    return digest_of({"state": version.state, "manifest": version.manifest_digest})


def move_version(version: ModelVersion, wanted: VersionState) -> str:
    before = version_digest(version)
    version.state = stepped("version_transition", version.ref, VERSION, version.state, wanted)
    version.save(update_fields=["state"])
    return before


def withdraw(
    command: Command, placement: Placement, *, cause: str, texts: dict[str, str] | None = None
) -> None:
    """Binds at commit. `cause` says in the event what brought it about: request, rollback, retirement."""
    before = move_placement(placement, PlacementState.WITHDRAWN)
    record(
        command,
        verb="placement.withdrawn",
        subject=placement.ref,
        texts=texts,
        before=before,
        after=placement_digest(placement),
        detail={"environment": placement.environment.name, "cause": cause},
    )


def refuse_open_promotions(command: Command, version: ModelVersion, why: Message, after: int = -1) -> None:
    """End the requests of this version that have lost their ground, to environments behind position `after`.

    Otherwise one that waits for its last approval would be granted by it. Trying again is a new request.
    """
    rows = (
        Promotion.objects.select_for_update(of=("self",))
        .filter(version=version, state__in=OPEN_PROMOTION, environment__position__gt=after)
        .select_related("version__model", "version__evaluation__dataset", "environment", "policy")
        .order_by("id")
    )
    for promotion in rows:
        before = state_digest(promotion)
        dossier = assess(promotion, timezone.now())
        promotion.dossier_digest = dossier.digest
        promotion.requirements = [line.to_json() for line in dossier.lines]
        promotion.outcome = {"code": why.code, "params": why.params, "reasons": []}
        move(promotion, PromotionState.REFUSED)
        record(
            command,
            verb="promotion.refused",
            subject=promotion.ref,
            reason=why,
            policy=promotion.policy.pinned,
            before=before,
            after=state_digest(promotion),
        )
