from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from audits.privacy import Account
from governance.models import UseCase, User
from governance.selectors import belongs, ids_called, names_of, person_named
from governance.services.accounts import forget_account


class People:
    """Governance's answer to registry.directory, audits.trail and audits.privacy."""

    def person_named(self, name: str) -> UUID | None:
        return person_named(name)

    def use_case_exists(self, workspace: UUID, name: str) -> bool:
        return UseCase.objects.filter(workspace_id=workspace, name=name).exists()

    def forget(self, person: UUID) -> bool:
        return forget_account(person)

    def accounts(self, people: Iterable[UUID]) -> dict[UUID, Account]:
        rows = User.objects.filter(id__in=set(people))
        return {user.id: Account(user.username, user.is_superuser, user.erased) for user in rows}

    def belongs(self, person: UUID, workspace: UUID) -> bool:
        return belongs(person, workspace)

    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        return names_of(ids)

    def called(self, part: str) -> list[UUID]:
        return ids_called(part)
