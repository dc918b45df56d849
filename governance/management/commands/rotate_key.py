from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections, transaction

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.keys import Replacement, fingerprint
from audits.ledger.rotation import PURPOSES
from audits.models import Workspace
from audits.sealing import rewrap
from governance.actors import DEFAULT_WORKSPACE
from governance.policy.schema import duration
from governance.services.keys import REPLACED, note_replacement, rotate_key


class Command(BaseCommand):
    help = (
        "Replace a key and announce it in the ledger. Signing keys and the row key: the old one goes on until the "
        "overlap is over, and what it signed stays verifiable. Pepper and sealing key: at once; stop web and worker "
        "first. Run it where the keys are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("purpose", choices=[*PURPOSES, *REPLACED])
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
        if options["purpose"] in REPLACED:
            self._replace(workspace, options["purpose"], options["compromised"])
            return
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

    def _replace(self, workspace: Workspace, purpose: Any, compromised: str) -> None:
        """Event, then what is kept under the key, then the file: cut off in between, it is taken up when run again."""
        try:
            replacement = Replacement.prepare(purpose)
        except LookupError as error:
            raise CommandError(
                f"The key {purpose} is not a file of ours: replace it where it is held. "
                "For sealing, then run rewrap_keys."
            ) from error
        event = note_replacement(
            command=Circumstances(system_actor("shell", workspace.id)),
            purpose=purpose,
            old=fingerprint(replacement.old),
            new=fingerprint(replacement.new),
            compromised=compromised,
        ).value
        if purpose == "sealing":
            with transaction.atomic(using="migrator"), connections["migrator"].cursor() as cursor:
                try:
                    done = rewrap(cursor, replacement.old[:32], replacement.new[:32])
                except ValueError as error:
                    raise CommandError(f"The key of {error} does not open. Nothing was changed.") from error
            self.stdout.write(f"{done:,} keys of persons wrapped anew")
        aside = replacement.swap()
        self.stdout.write(f"old: {event.detail['old']}\nnew: {event.detail['new']}")
        self.stdout.write(f"Destroy {aside}, and start web and worker again.")
