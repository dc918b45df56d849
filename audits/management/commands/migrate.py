from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from audits.roles import follow_migrations


class Command(migrate.Command):
    """Django's; afterwards service and notary have the rights of audits.roles, on new tables, too."""

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        follow_migrations(options["database"])
