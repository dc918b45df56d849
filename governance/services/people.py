"""People by user name. That nobody is called so is said by the service, after it asked whether the actor may know."""

from __future__ import annotations

from dataclasses import dataclass

from audits.actors import SubjectRef
from audits.errors import Unprocessable
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
