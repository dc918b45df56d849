from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.ledger import pruned
from audits.models import AuditExport
from audits.moments import moment_of
from audits.services.pruning import prune_log


class Command(BaseCommand):
    help = (
        "Remove events of the decision log that are older than --before and in a complete verifiable export, which is "
        "verified first. Leaves, tree, checkpoints and evidence stay: every proof holds, and what is missing is said "
        "to be in that export. Keep the export: nothing brings the rows back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "export", type=UUID, help="id of a finished export of everything, in the form bundle"
        )
        parser.add_argument("--before", required=True, help="a time with its zone, like 2026-01-31T00:00:00Z")
        parser.add_argument("--reason", required=True, help="why, and under which rule of retention")

    def handle(self, *args: Any, **options: Any) -> None:
        before = moment_of(options["before"])
        if before is None:
            raise CommandError("--before is a time with its zone, like 2026-01-31T00:00:00Z.")
        export = AuditExport.objects.filter(id=options["export"]).first()
        if export is None:
            raise CommandError("There is no such export.")
        command = Circumstances(system_actor("shell", export.workspace_id))
        try:
            event = prune_log(
                command=command, export_id=export.id, before=before, reason=options["reason"]
            ).value
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        self.stdout.write(messages.render(pruned.note(event)))
