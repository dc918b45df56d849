"""Separation of duties: who had a hand in a version and may not approve it, by person, behind whatever token."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from governance.dossier import datasets_of
from governance.models import ApiToken, Promotion


def excluded_people(promotion: Promotion, duties: Iterable[str]) -> list[tuple[UUID, str]]:
    version = promotion.version
    hands: dict[str, set[UUID | None]] = {
        "requester": {promotion.requester_id},
        "author": {version.author_id},
        "trainer": {_person(version.registered_by)},
        "dataset_owner": {row.dataset.owner_id for row in datasets_of(promotion)},
    }
    return [(person, duty) for duty in duties for person in sorted(hands[duty] - {None}, key=str) if person]


def _person(actor_id: UUID) -> UUID:
    """The person behind a service token; anybody else is a person already."""
    return ApiToken.objects.filter(id=actor_id).values_list("person_id", flat=True).first() or actor_id
