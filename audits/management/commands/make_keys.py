from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from audits.keys import key_folder
from audits.ledger.signing import make_keys


class Command(BaseCommand):
    help = "Make the keys that are not there yet: row, pepper, checkpoint, attestation. Replaces none."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        made = make_keys()
        self.stdout.write(
            f"made {', '.join(made)} in {key_folder()}" if made else "every key is there already"
        )
