from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.management.told_in import add_workspace, told_in
from audits.services.pruning import note_period


class Command(BaseCommand):
    help = (
        "Set how many years the decision log is kept at least (10 by default), with the migrating connection: the "
        "service may not. It is an event first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("years", type=int)
        parser.add_argument("--reason", required=True, help="why, and under which rule of retention")
        add_workspace(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = told_in(options["workspace"])
        command = Circumstances(system_actor("shell", workspace.id))
        try:
            note_period(command=command, years=options["years"], reason=options["reason"])
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        with connections["migrator"].cursor() as cursor:
            cursor.execute("UPDATE audits_retention_period SET years = %s", [options["years"]])
        self.stdout.write(f"The decision log is kept for at least {options['years']} years.")
