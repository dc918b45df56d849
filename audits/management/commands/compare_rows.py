from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from audits.services.comparison import compare_and_tell


class Command(BaseCommand):
    help = (
        "Compare every governed row with what its last event says came out, and look whether the net is whole. Leaves "
        "an event and an alarm for each difference. Exit 0: none; 1: it says which."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        report = compare_and_tell()
        self.stdout.write(
            f"{report.rows:,} rows compared, {len(report.differences):,} differ, "
            f"{report.uncovered:,} have no event since the net is there, {len(report.holes):,} holes in the net"
        )
        for row in report.differences[:100]:
            what = "is gone" if not row.found else "has no event" if row.event is None else "differs"
            self.stdout.write(f"  {row.subject.kind} {row.subject.id} {what} (last event {row.event})")
        for hole in report.holes:
            self.stdout.write(f"  the trigger is missing or off: {hole}")
        if report.differences or report.holes:
            sys.exit(1)
