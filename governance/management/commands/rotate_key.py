from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.ledger.rotation import PURPOSES
from audits.models import Workspace
from governance.actors import DEFAULT_WORKSPACE
from governance.policy.schema import duration
from governance.services.keys import rotate_key


class Command(BaseCommand):
    help = (
        "Make the successor of a signing key and announce it in the ledger. The old key goes on signing until the "
        "overlap is over; what it signed stays verifiable. Run it where the notary's keys are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("purpose", choices=PURPOSES)
        parser.add_argument(
            "--overlap", default="7d", metavar="7d|12h", help="until the new key signs alone (default 7d)"
        )
        parser.add_argument(
            "--compromised",
            default="",
            metavar="WHAT HAPPENED",
            help="the new key signs alone at once, and the old one is published no longer",
        )
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace.objects.filter(name=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"There is no workspace {options['workspace']}.")
        try:
            overlap: timedelta = duration(options["overlap"])
        except (ValueError, OverflowError) as error:
            raise CommandError(f"--overlap {options['overlap']}: write it as 7d or 12h.") from error
        try:
            event = rotate_key(
                command=Circumstances(system_actor("shell", workspace.id)),
                purpose=options["purpose"],
                overlap=overlap,
                compromised=options["compromised"],
            ).value
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        self.stdout.write(f"old: {event.detail['old']}\nnew: {event.detail['new']}")
        self.stdout.write(f"The new key signs alone from {event.detail['alone_from']} on.")
