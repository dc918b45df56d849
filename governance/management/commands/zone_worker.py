from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audits.dispatch import queue_of


class Command(BaseCommand):
    help = (
        "Run a worker in a data zone: it takes the checks and explanations on data of that zone, and nothing else. "
        "Start it where the data is, with the data's credentials (docs/zones.md). Becomes `celery worker`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--zone", required=True, help="one of CRIVO_ZONES")
        parser.add_argument("--concurrency", type=int, default=2)
        parser.add_argument("--loglevel", default="INFO")

    def handle(self, *args: Any, **options: Any) -> None:
        zone = options["zone"]
        if zone not in settings.CRIVO_ZONES:
            raise CommandError(
                f"{zone} is not among CRIVO_ZONES ({', '.join(settings.CRIVO_ZONES) or 'none'})."
            )
        command = [sys.executable, "-m", "celery", "-A", "governance", "worker", "-Q", queue_of(zone)]
        command += ["--concurrency", str(options["concurrency"]), "--loglevel", options["loglevel"]]
        command += ["--hostname", f"zone-{zone}@%h", "--without-gossip", "--without-mingle"]
        sys.stdout.flush()
        os.execve(sys.executable, command, {**os.environ, "CRIVO_ZONE": zone})  # noqa: S606 - our own interpreter
