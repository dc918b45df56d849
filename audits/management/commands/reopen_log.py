from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.management.told_in import add_workspace, told_in
from audits.services.reopening import reopen


class Command(BaseCommand):
    help = (
        "Go on after an incident in which the database and the published checkpoints no longer agree: begin the log "
        "named by CRIVO_ORIGIN, whose first entry carries the last checkpoint of the earlier one. Stop the notary "
        "first; the new log needs a checkpoint key of its own (move the old one away, `manage.py make_keys`)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--incident", required=True, help="what happened, and where it is written down")
        add_workspace(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = told_in(options["workspace"])
        try:
            done = reopen(Circumstances(system_actor("shell", workspace.id)), options["incident"])
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        except (ValueError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"The log {settings.CRIVO_ORIGIN} begins. Its entry 0 carries the last checkpoint of {done.earlier}: "
            f"{done.published:,} entries were published, {done.held:,} are in the database."
        )
        self.stdout.write(
            "Start the notary. Hand its new vkey to everybody who verifies, together with the incident."
        )
