from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from audits.keys import sealing_key
from audits.sealing import rewrap


class Command(BaseCommand):
    help = (
        "Replace the sealing key: wrap every person's key under the new one (`sealing.key`), with the migrating "
        "connection. Texts stay as they are. Stop web and worker first; "
        "afterwards destroy the old key, and the backups it opens."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "previous", metavar="FILE", help="the sealing key so far, as it was in sealing.key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            previous = bytes.fromhex(Path(options["previous"]).read_text().strip())[:32]
        except (OSError, ValueError) as error:
            raise CommandError(f"{options['previous']} cannot be read as a key.") from error
        with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
            try:
                done = rewrap(cursor, previous, sealing_key())
            except ValueError as error:
                raise CommandError(
                    f"The key of {error} is not wrapped under that key. Nothing was changed."
                ) from error
        self.stdout.write(f"{done:,} keys wrapped anew")
