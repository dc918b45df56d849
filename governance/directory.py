from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from governance.models import UseCase
from governance.selectors import ids_called, names_of, person_named
from governance.services.accounts import forget_account


class People:
    """Governance's answer to registry.directory and audits.trail."""

    def person_named(self, name: str) -> UUID | None:
        return person_named(name)

    def use_case_exists(self, workspace: UUID, name: str) -> bool:
        return UseCase.objects.filter(workspace_id=workspace, name=name).exists()

    def forget(self, person: UUID) -> bool:
        return forget_account(person)

    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        return names_of(ids)

    def called(self, part: str) -> list[UUID]:
        return ids_called(part)
