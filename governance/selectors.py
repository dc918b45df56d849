"""Reading governance: what the actor may see, what is effective, who is who."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from audits.actors import Actor, authoriser
from audits.ledger.inclusion import published_at
from audits.models import SubjectHead
from audits.privacy import erased_among
from audits.sealing import texts_of
from governance.models import (
    Alarm,
    ApiToken,
    BrokenGlass,
    Condition,
    Deployment,
    Environment,
    Finding,
    Placement,
    PlacementReview,
    PolicyChange,
    PolicyVersion,
    Promotion,
    SignoffInvitation,
    UseCase,
    User,
    Waiver,
)
from governance.models.identity import erased_label
from governance.states import PlacementState
from registry.models import ModelVersion
from registry.selectors import found


def use_cases(actor: Actor) -> QuerySet[UseCase]:
    return authoriser().visible(actor, UseCase.objects.all())


def use_case(actor: Actor, name: str) -> UseCase:
    return found(use_cases(actor).filter(name=name), "use case", name)


def policies(actor: Actor) -> QuerySet[PolicyVersion]:
    return authoriser().visible(actor, PolicyVersion.objects.all())


def environments(actor: Actor) -> QuerySet[Environment]:
    return authoriser().visible(actor, Environment.objects.all())


def deployments(actor: Actor) -> QuerySet[Deployment]:
    rows = Deployment.objects.select_related("version__model", "environment")
    return authoriser().visible(actor, rows)


def promotions(actor: Actor) -> QuerySet[Promotion]:
    return authoriser().visible(
        actor,
        Promotion.objects.select_related(
            "version__model",
            "version__evaluation__dataset",
            "environment",
            "policy",
            "placement",
        ).prefetch_related("attestations"),
    )


def promotion(actor: Actor, promotion_id: UUID) -> Promotion:
    return found(promotions(actor).filter(id=promotion_id), "promotion", str(promotion_id))


def person_named(name: str) -> UUID | None:
    """The id of a person by user name; what `author` in a version's metadata means."""
    return User.objects.filter(username=name).values_list("id", flat=True).first()


def names_of(ids: Iterable[UUID]) -> dict[UUID, str]:
    """How people and service tokens are called, for those of `ids` that are known."""
    wanted = set(ids)
    names = {user.id: user.label for user in User.objects.filter(id__in=wanted)}
    names |= {token.id: token.name for token in ApiToken.objects.filter(id__in=wanted)}
    if left := wanted - set(names):
        names |= _guests(left)
    if left := wanted - set(names):  # people outside whose name was erased; or nobody we know
        names |= {person: erased_label(person) for person in erased_among(left)}
    return names


def ids_called(part: str) -> list[UUID]:
    """People and service tokens whose name has that part; a person's in any of the ways it is written."""
    names = Q(username__icontains=part) | Q(first_name__icontains=part) | Q(last_name__icontains=part)
    people = User.objects.filter(names).values_list("id", flat=True)
    return [*people, *ApiToken.objects.filter(name__icontains=part).values_list("id", flat=True)]


def _guests(ids: set[UUID]) -> dict[UUID, str]:
    """People outside, by the name they were invited under."""
    events = dict(SignoffInvitation.objects.filter(actor_id__in=ids).values_list("event_id", "actor_id"))
    return {events[event]: text for (event, _), text in texts_of(events, "name").items()}


@dataclass(frozen=True)
class Effect:
    """Whether a grant is effective, and since when: derived from the ledger, never stored."""

    effective: bool
    at: datetime | None = None


def effect_of(placement: Placement | None) -> Effect:
    if placement is None:
        return Effect(False)
    at = published_at([placement.granted_event]).get(placement.granted_event)
    return Effect(at is not None, at)


def standing(version: ModelVersion) -> int:
    """The position of the furthest environment the version stands in, live or superseded; -1 if in none."""
    furthest = Placement.objects.filter(
        version=version, state__in=[PlacementState.LIVE, PlacementState.SUPERSEDED]
    ).aggregate(position=Max("environment__position"))["position"]
    return -1 if furthest is None else int(furthest)


def policy_changes(actor: Actor) -> QuerySet[PolicyChange]:
    return authoriser().visible(actor, PolicyChange.objects.select_related("workspace", "base", "version"))


def policy_change(actor: Actor, change_id: UUID) -> PolicyChange:
    return found(policy_changes(actor).filter(id=change_id), "policy change", str(change_id))


def policy_version(actor: Actor, name: str, n: int) -> PolicyVersion:
    return found(policies(actor).filter(name=name, n=n), "policy version", f"{name}@{n}")


def findings(actor: Actor) -> QuerySet[Finding]:
    return authoriser().visible(actor, Finding.objects.select_related("version__model"))


def finding(actor: Actor, finding_id: UUID) -> Finding:
    return found(findings(actor).filter(id=finding_id), "finding", str(finding_id))


def waivers(actor: Actor) -> QuerySet[Waiver]:
    return authoriser().visible(actor, Waiver.objects.select_related("version__model", "environment"))


def waiver(actor: Actor, waiver_id: UUID) -> Waiver:
    return found(waivers(actor).filter(id=waiver_id), "waiver", str(waiver_id))


def conditions(actor: Actor) -> QuerySet[Condition]:
    return authoriser().visible(
        actor,
        Condition.objects.select_related("decision", "promotion__version__model", "promotion__environment"),
    )


def condition(actor: Actor, condition_id: UUID) -> Condition:
    return found(conditions(actor).filter(id=condition_id), "condition", str(condition_id))


def placement_reviews(actor: Actor) -> QuerySet[PlacementReview]:
    return authoriser().visible(
        actor,
        PlacementReview.objects.select_related("placement__version__model", "placement__environment"),
    )


def placement_review(actor: Actor, review_id: UUID) -> PlacementReview:
    return found(placement_reviews(actor).filter(id=review_id), "review", str(review_id))


def broken_glasses(actor: Actor) -> QuerySet[BrokenGlass]:
    return authoriser().visible(
        actor, BrokenGlass.objects.select_related("version__model", "environment", "alarm")
    )


def broken_glass(actor: Actor, glass_id: UUID) -> BrokenGlass:
    return found(broken_glasses(actor).filter(id=glass_id), "broken glass", str(glass_id))


def alarms(actor: Actor) -> QuerySet[Alarm]:
    return authoriser().visible(
        actor, Alarm.objects.select_related("glass__version__model", "glass__environment")
    )


def alarm(actor: Actor, alarm_id: UUID) -> Alarm:
    return found(alarms(actor).filter(id=alarm_id), "alarm", str(alarm_id))


def _of_workspace(workspace: UUID) -> QuerySet[User]:
    """Who has, or had, a role, a group or a token in a workspace, or whose account it made."""
    made_here = SubjectHead.objects.filter(kind="person", workspace_id=workspace).values("subject_id")
    known = User.objects.filter(
        Q(bindings__workspace_id=workspace)
        | Q(memberships__group__workspace_id=workspace)
        | Q(tokens__workspace_id=workspace)
        | Q(id__in=made_here)
    )
    return User.objects.filter(id__in=known.values("id"))


def people_of(actor: Actor) -> QuerySet[User]:
    """Who has, or had, a role, a group or a token in the workspace, or whose account it made: nobody else's."""
    if not authoriser().may(actor, "access.read"):
        return User.objects.none()
    return _of_workspace(actor.workspace)


def belongs(person: UUID, workspace: UUID) -> bool:
    """Whether somebody with an account is among the people of a workspace, now or before."""
    return _of_workspace(workspace).filter(id=person).exists()
