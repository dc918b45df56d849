"""Searching the trail: one query, asked of the database (search) or proved against the log (a verifiable export)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.module_loading import import_string

from audits import verbs
from audits.actors import Actor, authoriser, system_actor
from audits.errors import BadRequest
from audits.ledger.body import timestamp
from audits.models import Event, PrunedEvent, SearchText
from audits.models.ledger import Outcome
from audits.moments import moment_of

FIELDS = (
    "verb", "outcome", "actor", "subject_kind", "subject_id", "correlation_id", "request_id", "from", "to", "q",
)  # fmt: skip
EXPORTED = (*FIELDS, "sample")
WORDS = 8  # of a search; more are refused
KIND = r"[a-z_]{1,60}"
_PLACES = re.compile(r"\{[a-z_]+\}")
PROCESSES = ("shell", "worker", "notary", "sweep")


@dataclass(frozen=True)
class TrailQuery:
    """Which events: members are joined by «and», `verb` may name several. `since` ≤ at < `until`, both aware.

    `words` each have to occur in the sentence of the event: who, what, about what, or what people wrote. `sample`
    (seed, events per million) takes some at random: by their place in the log, so the same ones every time.
    """

    verb: tuple[str, ...] = ()
    outcome: str | None = None
    actor: UUID | None = None
    subject_kind: str | None = None
    subject_id: UUID | None = None
    correlation_id: UUID | None = None
    request_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: tuple[str, ...] = ()
    sample: tuple[str, int] | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any], known: Sequence[str] = FIELDS) -> TrailQuery:
        """From {verb: text or list, outcome, actor, …, from, to, q}, all text. BadRequest names what is wrong."""
        for name in given:
            if name not in known:
                raise BadRequest("query_parameter_unknown", field=name, name=name[:50], known=sorted(known))
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
            words=_words(given),
            sample=_sample(given),
        )

    def apply(self, events: QuerySet[Event], workspace: UUID | None = None) -> QuerySet[Event]:
        """All of it but the sample, which needs places in the log. Words are of the language that is active."""
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
        found = events.filter(**{name: value for name, value in wanted.items() if value is not None})
        for word in self.words:
            found = found.filter(told_with(word, workspace))
        return found

    @property
    def provable(self) -> bool:
        """Whether the heads alone tell what matches: words are in what only some may read."""
        return not self.words

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
            "sample": self._sample_json(),
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def _sample_json(self) -> dict[str, Any] | None:
        return {"seed": self.sample[0], "per_million": self.sample[1]} if self.sample else None

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
            "q": " ".join(self.words) or None,
            "sample": self._sample_json(),
        }
        return {name: value for name, value in wanted.items() if value is not None}


def told_with(word: str, workspace: UUID | None = None) -> Q:
    """An id or a digest exactly; else part of who acted, what is told of it, whom it is about, or what people wrote."""
    try:
        exact = UUID(word)
    except ValueError:
        pass
    else:
        names = ("id", "subject_id", "actor_id", "request_id", "correlation_id")
        return Q(*((name, exact) for name in names), _connector=Q.OR)
    if re.fullmatch("sha256:[0-9a-f]{64}", word):
        return (
            Q(subject_digest=word) | Q(evidence__contains=[{"digest": word}]) | Q(before=word) | Q(after=word)
        )
    folded = word.casefold()
    told = [
        verb
        for verb, text in verbs.all_verbs().items()
        if folded in verb or folded in _PLACES.sub(" ", str(text)).casefold()
    ]
    written = SearchText.objects.filter(event=OuterRef("pk"), text__icontains=word)
    found = Q(subject_label__icontains=word) | Q(verb__in=told) | Q(Exists(written))
    if (people := _directory()) is not None:
        found |= Q(actor_id__in=people.called(word))
    if workspace is not None:
        found |= Q(actor_id__in=[system_actor(name, workspace).id for name in PROCESSES if folded in name])
    return found


def _words(given: Mapping[str, Any]) -> tuple[str, ...]:
    text = given.get("q")
    if text is None:
        return ()
    words = tuple(text.split()) if isinstance(text, str) else ()
    if not words or len(words) > WORDS or len(text) > 200 or "\0" in text:
        raise BadRequest("invalid", field="q", reason=f"1 to {WORDS} words")
    return words


def _sample(given: Mapping[str, Any]) -> tuple[str, int] | None:
    """{per_million, seed}; without a seed one is drawn, and from then on it is part of the query."""
    value = given.get("sample")
    if value is None:
        return None
    if not isinstance(value, dict) or not set(value) <= {"per_million", "seed"}:
        raise BadRequest("invalid", field="sample", reason="an object {per_million, seed}")
    rate, seed = value.get("per_million"), value.get("seed", secrets.token_hex(8))
    if isinstance(rate, float) and rate.is_integer():
        rate = int(rate)  # 2280.0 is a whole number in JSON
    if type(rate) is not int or not 0 < rate <= 1_000_000:
        raise BadRequest(
            "invalid", field="sample", reason="per_million is a whole number from 1 to 1,000,000"
        )
    if not isinstance(seed, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", seed):
        raise BadRequest(
            "invalid", field="sample", reason="a seed has 1 to 64 letters, digits, dots and dashes"
        )
    return seed, rate


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
    moment = moment_of(value)
    if moment is None:
        raise BadRequest("invalid", field=name, reason="a time with its zone, like 2026-01-31T00:00:00Z")
    return moment


def events(actor: Actor) -> QuerySet[Event]:
    return authoriser().visible(actor, Event.objects.select_related("leaf"))


def pruned_events(actor: Actor) -> QuerySet[PrunedEvent]:
    """What is left of events that were pruned."""
    return authoriser().visible(actor, PrunedEvent.objects.all())


class Names(Protocol):
    def names_of(self, ids: Iterable[UUID]) -> dict[UUID, str]: ...

    def called(self, part: str) -> list[UUID]:
        """Whose name has that part, whatever the case of its letters."""


def _directory() -> Names | None:
    path = getattr(settings, "CRIVO_DIRECTORY", "")
    return cast(Names, import_string(path)()) if path else None


def names_of(workspace: UUID, ids: Iterable[UUID]) -> dict[UUID, str]:
    """How actors are called: processes of Crivo, and people and tokens as the directory (governance) knows them."""
    names = {system_actor(process, workspace).id: process for process in PROCESSES}
    wanted = set(ids) - set(names)
    if wanted and (people := _directory()) is not None:
        names |= people.names_of(wanted)
    return names
