from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import Problem
from audits.models import Workspace
from governance.actors import DEFAULT_WORKSPACE
from governance.models import ApiToken, User
from governance.roles import ROLES, SCOPES
from governance.services.identity import Issued, bind_role, issue_token


class Command(BaseCommand):
    help = "Issue a token and print it, once: only its hash is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--actor",
            required=True,
            help="user name: whom the token stands for, or who answers for the service",
        )
        parser.add_argument("--scope", action="append", required=True, help=f"one of {', '.join(SCOPES)}")
        parser.add_argument(
            "--days", type=int, default=90, help="how long it works (default 90, at most 366)"
        )
        parser.add_argument("--service", metavar="NAME", help="a token for a service of this name")
        parser.add_argument(
            "--role",
            action="append",
            default=[],
            help="with --service: give the service this role, e.g. pipeline",
        )
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace.objects.filter(name=options["workspace"]).first()
        if workspace is None:
            raise CommandError(
                f"There is no workspace {options['workspace']}. Run first: python manage.py bootstrap"
            )
        person = User.objects.filter(username=options["actor"], is_active=True).first()
        if person is None:
            raise CommandError(f"There is no active user {options['actor']}.")
        if options["role"] and not options["service"]:
            raise CommandError("--role goes with --service: a personal token has the roles of its person.")
        # Before the token is made: one that is issued and then cannot do its work helps nobody.
        if unknown := sorted(set(options["role"]) - set(ROLES)):
            raise CommandError(f"Not a role: {', '.join(unknown)}. Known: {', '.join(ROLES)}.")
        issued = Issued()
        shell = Circumstances(system_actor("shell", workspace.id))
        try:
            token = issue_token(
                command=shell,
                person=person,
                name=(options["service"] or f"{person.username} (shell)")[:100],
                kind=ApiToken.Kind.SERVICE if options["service"] else ApiToken.Kind.PERSONAL,
                scopes=options["scope"],
                lifetime=timedelta(days=min(max(options["days"], 0), 10**6)),
                issued=issued,
            ).value
            for role in options["role"]:
                bind_role(command=shell, role=role, token=token)
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        self.stderr.write(
            f"A token for {token.name}, until {token.expires_at:%Y-%m-%d}. It is not shown again:"
        )
        self.stdout.write(issued.text)
