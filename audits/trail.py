"""Searching the trail: one query, asked of the database (search) or proved against the log (a verifiable export)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.module_loading import import_string

from audits import verbs
from audits.actors import Actor, authoriser, system_actor
from audits.errors import BadRequest
from audits.ledger.body import timestamp
from audits.models import Event
from audits.models.ledger import Outcome

FIELDS = (
    "verb", "outcome", "actor", "subject_kind", "subject_id", "correlation_id", "request_id", "from", "to",
)  # fmt: skip
KIND = r"[a-z_]{1,60}"
PROCESSES = ("shell", "worker", "notary", "sweep")


@dataclass(frozen=True)
class TrailQuery:
    """Which events: members are joined by «and», `verb` may name several. `since` ≤ at < `until`, both aware."""

    verb: tuple[str, ...] = ()
    outcome: str | None = None
    actor: UUID | None = None
    subject_kind: str | None = None
    subject_id: UUID | None = None
    correlation_id: UUID | None = None
    request_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> TrailQuery:
        """From {verb: text or list, outcome, actor, …, from, to}, all text. BadRequest names what is wrong."""
        for name in given:
            if name not in FIELDS:
                raise BadRequest("query_parameter_unknown", field=name, name=name[:50], known=sorted(FIELDS))
        names = given.get("verb", [])
        names = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, list) else (None,)
        for name in names:
            if not isinstance(name, str) or name not in verbs.all_verbs():
                raise BadRequest("invalid", field="verb", reason=f"unknown verb {str(name)[:80]}")
        outcome = given.get("outcome")
        if outcome is not None and outcome not in Outcome.values:
            raise BadRequest("invalid", field="outcome", reason=f"one of {', '.join(Outcome.values)}")
        kind = given.get("subject_kind")
        if kind is not None and (not isinstance(kind, str) or not re.fullmatch(KIND, kind)):
            raise BadRequest("invalid", field="subject_kind", reason="a kind is a short text")
        return cls(
            verb=names,
            outcome=outcome,
            subject_kind=kind,
            actor=_uuid(given, "actor"),
            subject_id=_uuid(given, "subject_id"),
            correlation_id=_uuid(given, "correlation_id"),
            request_id=_uuid(given, "request_id"),
            since=_moment(given, "from"),
            until=_moment(given, "to"),
        )

    def apply(self, events: QuerySet[Event]) -> QuerySet[Event]:
        wanted = {
            "verb__in": self.verb or None,
            "outcome": self.outcome,
            "actor_id": self.actor,
            "subject_kind": self.subject_kind,
            "subject_id": self.subject_id,
            "correlation_id": self.correlation_id,
            "request_id": self.request_id,
            "at__gte": self.since,
            "at__lt": self.until,
        }
        return events.filter(**{name: value for name, value in wanted.items() if value is not None})

    def as_filter(self) -> dict[str, Any]:
        """The same as `verifier.Filter` has it, so that a stranger can run it again on the heads."""
        subject = {
            name: str(value)
            for name, value in (("kind", self.subject_kind), ("id", self.subject_id))
            if value is not None
        }
        wanted: dict[str, Any] = {
            "verb": list(self.verb) or None,
            "outcome": [self.outcome] if self.outcome else None,
            "actor": [{"id": str(self.actor)}] if self.actor else None,
            "subject": [subject] if subject else None,
            "correlation_id": [str(self.correlation_id)] if self.correlation_id else None,
            "request_id": [str(self.request_id)] if self.request_id else None,
            "from": timestamp(self.since) if self.since else None,
            "to": timestamp(self.until) if self.until else None,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def as_json(self) -> dict[str, Any]:
        """What `parse` reads again."""
        wanted: dict[str, Any] = {
            "verb": list(self.verb) or None,
            "outcome": self.outcome,
            "actor": str(self.actor) if self.actor else None,
            "subject_kind": self.subject_kind,
            "subject_id": str(self.subject_id) if self.subject_id else None,
            "correlation_id": str(self.correlation_id) if self.correlation_id else None,
            "request_id": str(self.request_id) if self.request_id else None,
            "from": timestamp(self.since) if self.since else None,
            "to": timestamp(self.until) if self.until else None,
        }
        return {name: value for name, value in wanted.items() if value is not None}


def _uuid(given: Mapping[str, Any], name: str) -> UUID | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRequest("invalid", field=name, reason="not a UUID") from error


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        moment = parse_datetime(value)
        if moment is None or moment.tzinfo is None:
            raise ValueError(name)
        timestamp(moment)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(
            "invalid", field=name, reason="a time with its zone, like 2026-01-31T00:00:00Z"
        ) from error
    return moment


def events(actor: Actor) -> QuerySet[Event]:
    return authoriser().visible(actor, Event.objects.select_related("leaf"))


class Names(Protocol):
    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]: ...


def names_of(workspace: UUID, ids: Iterable[UUID]) -> dict[UUID, str]:
    """How actors are called: processes of Crivo, and people and tokens as the directory (governance) knows them."""
    names = {system_actor(process, workspace).id: process for process in PROCESSES}
    path = getattr(settings, "CRIVO_DIRECTORY", "")
    wanted = set(ids) - set(names)
    if path and wanted:
        names |= cast(Names, import_string(path)()).names_of(wanted)
    return names
