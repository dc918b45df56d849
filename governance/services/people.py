"""People: by user name, and their accounts. That nobody is called so is said by the service, after it asked whether
the actor may know.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from audits.privacy import home_of
from audits.services.reasons import require_reason
from governance.models import User


@dataclass(frozen=True)
class Nobody:
    """A user name that no active person has."""

    name: str


def named(name: str, *, active: bool = True) -> User | Nobody:
    rows = (
        User.objects.filter(username=name, is_active=True) if active else User.objects.filter(username=name)
    )
    return rows.first() or Nobody(name)


def known(person: User | Nobody | None, subject: SubjectRef, field: str = "person") -> User | None:
    """422 for nobody, remembered on `subject`."""
    if isinstance(person, Nobody):
        raise Unprocessable("person_unknown", subject=subject, field=field, name=person.name)
    return person


@service("person.created")
def create_person(
    *,
    command: Command,
    username: str,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    superuser: bool = False,
) -> Result[User]:
    """An account without a password and without a role. Its home is the actor's workspace; only that one ends it.

    The password is never the administrator's to know: whoever has it is that person, and could fill two places of a
    quorum. It is set on the server (manage.py changepassword). `superuser` is for the operator's shell only.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "person.manage", None, remember_on=workspace.ref)
    if superuser and command.actor.kind != "system":
        raise Forbidden("not_permitted", subject=workspace.ref, action="person.manage")
    person = User(
        username=User.normalize_username(username), first_name=first_name, last_name=last_name, email=email,
        is_staff=True, is_superuser=superuser,
    )  # fmt: skip
    person.set_unusable_password()
    try:
        person.clean_fields()
    except ValidationError as error:
        field = sorted(error.message_dict)[0]
        raise Unprocessable(
            "person_invalid", subject=workspace.ref, field=field, reason=error.message_dict[field][0]
        ) from error
    try:
        with transaction.atomic():
            person.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("person_exists", subject=workspace.ref, name=person.username) from error
    record(command, verb="person.created", subject=person.ref, after=_state(person), detail=_about(person))
    return Result(person)


@service("person.deactivated")
def deactivate_person(*, command: Command, person: User, reason: str) -> Result[User]:
    """Nothing is done in their name from now on: no session, no token. What they did stays. Again changes nothing."""
    return _switch(command, person, reason, active=False)


@service("person.reactivated")
def reactivate_person(*, command: Command, person: User, reason: str) -> Result[User]:
    """What roles they still hold count again at once: nothing new is granted."""
    return _switch(command, person, reason, active=True)


def _switch(command: Command, person: User, reason: str, *, active: bool) -> Result[User]:
    home = home_of(person.id)
    if home is not None and home != command.actor.workspace:
        workspace = Workspace.objects.get(id=command.actor.workspace)
        require(command, "person.manage", None, remember_on=workspace.ref)
        raise Conflict("person_of_another_workspace", subject=workspace.ref)
    lock(command.actor.workspace, person.ref)
    require(command, "person.manage", None, remember_on=person.ref)
    person = User.objects.select_for_update().get(id=person.id)
    if command.actor.person == person.id:
        raise Conflict("own_account", subject=person.ref)
    if person.is_superuser and command.actor.kind != "system":
        raise Forbidden("superuser_by_shell", subject=person.ref)
    require_reason(reason, person.ref)
    if person.erased and active:
        raise Conflict("account_erased", subject=person.ref)
    if person.is_active == active:
        return Result(person, created=False)
    before, person.is_active = _state(person), active
    person.save(update_fields=["is_active"])
    record(
        command,
        verb="person.reactivated" if active else "person.deactivated",
        subject=person.ref,
        texts={"reason": reason},
        before=before,
        after=_state(person),
    )
    return Result(person, created=False)


def _about(person: User) -> dict[str, bool]:
    return {"superuser": person.is_superuser, "active": person.is_active}


def _state(person: User) -> str:
    return digest_of(_about(person))
