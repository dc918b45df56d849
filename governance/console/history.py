"""Events as sentences: who did what, when, and in which words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.translation import gettext

from audits import sealing, verbs
from audits.ledger.inclusion import published_at
from audits.models import Event
from audits.models.ledger import Outcome
from governance.console.people import Names
from governance.console.wording import ROLE_TITLES, sentence, word
from governance.states import DecisionVerdict


@dataclass(frozen=True)
class Line:
    """One event for a reader. `said` are texts of people, `why` the reason of the machine."""

    event: Event
    text: str
    why: str
    said: list[str] = field(default_factory=list)
    published: bool = False

    @property
    def refused(self) -> bool:
        return self.event.outcome == Outcome.REFUSED


def texts_of(events: Iterable[UUID]) -> dict[UUID, list[str]]:
    """What people wrote, by event."""
    found: dict[UUID, list[str]] = defaultdict(list)
    for (event, _), text in sealing.texts_of(events).items():
        found[event].append(text)
    return found


def lines_of(events: Sequence[Event], workspace: UUID) -> list[Line]:
    """Four queries, however many events."""
    people = Names(workspace, {event.actor_id for event in events} | {_granted_to(event) for event in events})
    said = texts_of(event.id for event in events)
    published = published_at(event.id for event in events)
    return [
        Line(event, _text(event, people), sentence(event.reason), said[event.id], event.id in published)
        for event in events
    ]


def _granted_to(event: Event) -> UUID | None:
    """Whom a role was given to."""
    principal = event.detail.get("principal") if isinstance(event.detail, dict) else None
    text = principal.get("id") if isinstance(principal, dict) else None
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _text(event: Event, people: Names) -> str:
    actor = people[event.actor_id]
    subject = event.subject_label or event.subject_kind.replace("_", " ")
    if event.outcome == Outcome.REFUSED:
        return gettext("{actor} was refused on {subject}").format(actor=actor, subject=subject)
    if event.verb == "promotion.decided":
        return _decided(event, actor, subject)
    if event.verb == "role.bound" and (principal := _granted_to(event)):
        return gettext("{actor} gave the role {role} to {principal}").format(
            actor=actor, role=word(ROLE_TITLES, event.detail.get("role")), principal=people[principal]
        )
    try:
        return verbs.sentence(event.verb, actor, subject)
    except (KeyError, ValueError, IndexError):
        return f"{actor} · {event.verb} · {subject}"


def _decided(event: Event, actor: str, subject: str) -> str:
    sentences = {
        DecisionVerdict.APPROVE: gettext("{actor} approved {subject} as {role}"),
        DecisionVerdict.REJECT: gettext("{actor} rejected {subject} as {role}"),
        DecisionVerdict.REQUEST_CHANGES: gettext("{actor} asked for changes to {subject} as {role}"),
    }
    verdict = event.detail.get("verdict")
    pattern = sentences.get(verdict) if isinstance(verdict, str) else None  # type: ignore[call-overload]
    if pattern is None:
        return verbs.sentence(event.verb, actor, subject)
    return str(pattern).format(actor=actor, subject=subject, role=word(ROLE_TITLES, event.detail.get("role")))
