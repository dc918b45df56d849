"""What there is of a person that can be erased, and what forbids it. Reads only: audits.services.erasure changes.

A person is the workspace's business if they wrote something in it, or have (or had) a role, a group, a token or their
account there, as the directory (governance) knows. Everybody else does not exist for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db.models import Min, QuerySet
from django.utils.module_loading import import_string

from audits.actors import Actor, SubjectRef, authoriser
from audits.checks.contract import Message
from audits.errors import NotFound
from audits.models import AuditExport, Event, EventText, LegalHold, SearchText, SubjectHead
from audits.models.ledger import Outcome
from audits.sealing import erased_at, texts_of
from audits.states import ExportState

ERASE, HOLD = "person.erase", "hold.manage"


@dataclass(frozen=True)
class Account:
    """What the directory has of a person; of one who was erased, only what is left."""

    username: str
    superuser: bool
    erased: bool


class Directory(Protocol):
    """What an erasure asks of the package that keeps accounts (CRIVO_DIRECTORY)."""

    def forget(self, person: UUID) -> bool:
        """Take name and address from the account, and close it. False if there is none. Part of a transaction."""

    def accounts(self, people: Iterable[UUID]) -> dict[UUID, Account]:
        """Of those that have one."""

    def belongs(self, person: UUID, workspace: UUID) -> bool:
        """Whether they have, or had, a role, a group or a token there, or their account was made there."""

    def person_named(self, name: str) -> UUID | None: ...

    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]: ...


class _Nobody:
    def forget(self, person: UUID) -> bool:
        return False

    def accounts(self, people: Iterable[UUID]) -> dict[UUID, Account]:
        return {}

    def belongs(self, person: UUID, workspace: UUID) -> bool:
        return False

    def person_named(self, name: str) -> UUID | None:
        return None

    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        return {}


def directory() -> Directory:
    path = getattr(settings, "CRIVO_DIRECTORY", "")
    return cast(Directory, import_string(path)() if path else _Nobody())


def account_of(person: UUID) -> Account | None:
    return directory().accounts([person]).get(person)


def person_ref(person: UUID) -> SubjectRef:
    return SubjectRef("person", person)


def reads_privacy(actor: Actor) -> bool:
    """Who may erase or hold sees what both are about; nobody else sees any of it."""
    return any(authoriser().may(actor, action) for action in (ERASE, HOLD))


def home_of(person: UUID) -> UUID | None:
    """The workspace whose trail tells of the person; None where none does yet."""
    heads = SubjectHead.objects.filter(kind="person", subject_id=person)
    return heads.values_list("workspace_id", flat=True).first()


def is_known(person: UUID, workspace: UUID) -> bool:
    """Whether the person is this workspace's business."""
    return (
        directory().belongs(person, workspace)
        or home_of(person) == workspace
        or EventText.objects.filter(person_id=person, event__workspace_id=workspace).exists()
        or LegalHold.objects.filter(person_id=person, workspace_id=workspace).exists()
    )


def person_called(actor: Actor, text: str) -> UUID | None:
    """By user name, or by the id that the trail shows (people outside have only that). None for nobody known here."""
    person = directory().person_named(text)
    if person is None:
        try:
            person = UUID(text)
        except ValueError:
            return None
    return person if is_known(person, actor.workspace) else None


def holds(actor: Actor) -> QuerySet[LegalHold]:
    """Of the actor's workspace, for who may erase or hold."""
    rows = LegalHold.objects.all()
    return rows.filter(workspace_id=actor.workspace) if reads_privacy(actor) else rows.none()


def hold(actor: Actor, hold_id: UUID) -> LegalHold:
    row = holds(actor).filter(id=hold_id).first()
    if row is None:
        raise NotFound("not_found", kind="legal hold", name=str(hold_id))
    return row


@dataclass(frozen=True)
class ToldHold:
    """A hold, and what its events tell: who placed and lifted it, when, and why (their words)."""

    row: LegalHold
    person: str  # how they are called; empty if nobody knows
    username: str  # empty for people outside
    placed_by: UUID
    placed_at: datetime
    reason: str
    lifted_by: UUID | None
    lifted_at: datetime | None
    lifting_reason: str

    @property
    def standing(self) -> bool:
        return self.row.lifted_event is None


def told(rows: Iterable[LegalHold]) -> list[ToldHold]:
    """A few queries, however many."""
    found = list(rows)
    ids = {event for row in found for event in (row.event_id, row.lifted_event) if event is not None}
    events, words = Event.objects.in_bulk(ids), texts_of(ids, "reason")
    people = {row.person_id for row in found}
    names, accounts = directory().names_of(people), directory().accounts(people)
    result = []
    for row in found:
        placed, lifted = events[row.event_id], events.get(row.lifted_event) if row.lifted_event else None
        account = accounts.get(row.person_id)
        result.append(
            ToldHold(
                row=row,
                person=names.get(row.person_id, ""),
                username=account.username if account else "",
                placed_by=placed.actor_id,
                placed_at=placed.at,
                reason=words.get((placed.id, "reason"), ""),
                lifted_by=lifted.actor_id if lifted else None,
                lifted_at=lifted.at if lifted else None,
                lifting_reason=words.get((lifted.id, "reason"), "") if lifted else "",
            )
        )
    return result


def erased_among(people: Iterable[UUID]) -> set[UUID]:
    """Those who were erased."""
    rows = Event.objects.filter(
        subject_kind="person", subject_id__in=list(people), verb="person.erased", outcome=Outcome.DONE
    )
    return set(rows.values_list("subject_id", flat=True))


def texts_left(person: UUID) -> int:
    """How many texts of theirs can be read, in every workspace: each has its words in the projection that is searched,
    which goes with an erasure. Those under a key that was destroyed before are not among them."""
    return SearchText.objects.filter(person_id=person).count()


@dataclass(frozen=True)
class Preview:
    """What an erasure would take, and why it would be refused (`reasons`; none: it would be done).

    `exports` are those of this workspace that were finished since the person first wrote here: an erasure does not
    reach into them. `held_elsewhere` counts holds of other workspaces, of which nothing else is told.
    """

    person: UUID
    name: str
    account: Account | None
    erased_at: datetime | None
    texts: int
    exports: int
    holds: list[ToldHold]
    held_elsewhere: int
    reasons: tuple[Message, ...]


def preview(actor: Actor, person: UUID) -> Preview:
    """For who may erase or hold; NotFound for everybody else, and for a person who is not known here."""
    if not reads_privacy(actor) or not is_known(person, actor.workspace):
        raise NotFound("not_found", kind="person", name=str(person))
    account, home = account_of(person), home_of(person)
    standing = LegalHold.objects.filter(person_id=person, lifted_event=None).order_by("id")
    here = [row for row in standing if row.workspace_id == actor.workspace]
    reasons = []
    if not authoriser().may(actor, ERASE, person_ref(person)):
        reasons.append(Message("not_permitted", {"action": ERASE}))
    if person == actor.person:
        reasons.append(Message("erasure_of_oneself"))
    if home not in (None, actor.workspace):
        reasons.append(Message("erasure_elsewhere"))
    if account is not None and account.superuser and actor.kind != "system":
        reasons.append(Message("erasure_of_superuser"))
    if standing:
        reasons.append(Message("erasure_on_hold"))
    return Preview(
        person=person,
        name=directory().names_of([person]).get(person, ""),
        account=account,
        erased_at=erased_at(person),
        texts=texts_left(person),
        exports=_exports_with(person, actor.workspace),
        holds=told(here),
        held_elsewhere=len(standing) - len(here),
        reasons=tuple(reasons),
    )


def _exports_with(person: UUID, workspace: UUID) -> int:
    written = EventText.objects.filter(person_id=person, event__workspace_id=workspace)
    first = written.aggregate(first=Min("event__at"))["first"]
    if first is None:
        return 0
    return AuditExport.objects.filter(
        workspace_id=workspace, state=ExportState.DONE, finished_at__gte=first
    ).count()
