from __future__ import annotations

from uuid import UUID

from governance.models import UseCase
from governance.selectors import person_named


class People:
    """Governance's answer to registry.directory."""

    def person_named(self, name: str) -> UUID | None:
        return person_named(name)

    def use_case_exists(self, workspace: UUID, name: str) -> bool:
        return UseCase.objects.filter(workspace_id=workspace, name=name).exists()
