from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from audits.access import SHORTEST_DAYS


class Command(BaseCommand):
    help = (
        "Remove the oldest lines of the access log, with the migrating connection: the service may not. "
        f"What is younger than {SHORTEST_DAYS} days stays. The decision log is never touched."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=365, help="keep so many days (default 365)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < SHORTEST_DAYS:
            raise CommandError(f"The access log is kept for at least {SHORTEST_DAYS} days.")
        with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
            cursor.execute("ALTER TABLE audits_access DISABLE TRIGGER append_only_row")
            cursor.execute(
                "DELETE FROM audits_access WHERE at < clock_timestamp() - make_interval(days => %s)",
                [options["days"]],
            )
            removed = cursor.rowcount
            cursor.execute("ALTER TABLE audits_access ENABLE ALWAYS TRIGGER append_only_row")
        self.stdout.write(f"{removed:,} lines of the access log removed")
