from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from audits import messages
from audits.actors import Command as Circumstances
from audits.actors import system_actor
from audits.errors import NotFound, Problem
from audits.models import LegalHold, Workspace
from audits.services.erasure import erase_person, lift_hold, place_hold
from governance.actors import DEFAULT_WORKSPACE
from governance.models import User


class Command(BaseCommand):
    help = (
        "Erase what a person wrote, their name and their address; the log stays as it is and verifies as before. A "
        "legal hold forbids it: --hold places one, --lift lifts those that stand. Nothing brings back what was erased."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "person", help="user name, or the id as the trail shows it (people outside have only that)"
        )
        parser.add_argument("--reason", required=True)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--hold", action="store_true", help="place a legal hold instead")
        which.add_argument("--lift", action="store_true", help="lift the legal holds that stand instead")
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace.objects.filter(name=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"There is no workspace {options['workspace']}.")
        person = _person(options["person"])
        given = {"command": Circumstances(system_actor("shell", workspace.id)), "reason": options["reason"]}
        try:
            if options["hold"]:
                hold = place_hold(**given, person=person).value
                self.stdout.write(f"legal hold {hold.id} stands: nothing of {person} is erased")
            elif options["lift"]:
                standing = LegalHold.objects.filter(
                    workspace=workspace, person_id=person, lifted_event=None
                ).values_list("id", flat=True)
                for hold_id in list(standing):
                    lift_hold(**given, hold_id=hold_id)
                    self.stdout.write(f"legal hold {hold_id} lifted")
            else:
                event = erase_person(**given, person=person).value
                self.stdout.write(f"erased: {event.detail['texts']} texts of {person} (event {event.id})")
        except NotFound as problem:
            raise CommandError(
                f"There is nobody called {options['person']} in {workspace.name}."
            ) from problem
        except Problem as problem:
            raise CommandError(messages.render(problem.message)) from problem


def _person(text: str) -> UUID:
    found = User.objects.filter(username=text).values_list("id", flat=True).first()
    if found is not None:
        return found
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError(f"There is nobody called {text}.") from error
