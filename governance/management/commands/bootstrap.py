from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.errors import Problem
from audits.models.workspace import name_validator
from governance.actors import DEFAULT_WORKSPACE
from governance.models import User
from governance.services.bootstrap import bootstrap


class Command(BaseCommand):
    help = "Seed a workspace, once: environments, first policies, its administrator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)
        parser.add_argument(
            "--administrator", help="user name of the first administrator (createsuperuser makes one)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["workspace"]
        try:
            name_validator(name)
        except ValidationError as error:
            raise CommandError(
                f"{name!r} is not a name: small letters, digits, dot, dash and underscore."
            ) from error
        person = None
        if options["administrator"]:
            person = User.objects.filter(username=options["administrator"]).first()
            if person is None:
                raise CommandError(
                    f"There is no user {options['administrator']}. Make one first: python manage.py createsuperuser"
                )
        try:
            workspace = bootstrap(name, person).value
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem
        self.stdout.write(f"The workspace {workspace.name} is ready.")
