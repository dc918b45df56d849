"""Who acts, on what, and the port through which the rest of Crivo says whether they may.

`audits` is the lowest package: it knows actors and subjects by value only. Governance supplies the authoriser by a
dotted path in settings; without one, everything is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Literal, Protocol, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils.module_loading import import_string

from audits.ids import uuid7

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class SubjectRef:
    """A subject by value: evidence outlives what it was measured on and is pinned to its bytes by `digest`."""

    kind: str
    id: UUID
    label: str = ""
    digest: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The order in which heads are locked, the same everywhere, so that two commands cannot deadlock."""
        return self.kind, str(self.id)


@dataclass(frozen=True)
class Actor:
    """Somebody who acts in one workspace. `person` is the human behind a token; `scopes` None means unrestricted."""

    kind: Literal["person", "token", "system"]
    id: UUID
    workspace: UUID
    person: UUID | None = None
    scopes: frozenset[str] | None = None
    label: str = ""


@dataclass(frozen=True)
class Idempotency:
    """One Idempotency-Key as the client sent it, with what it belongs to."""

    method: str
    path: str
    key: str
    body_digest: str


class Check(Protocol):
    def check(self, subject: SubjectRef) -> None: ...


@dataclass(frozen=True)
class Command:
    """The circumstances of one change: who, through which token, in answer to which request."""

    actor: Actor
    token: UUID | None = None
    request_id: UUID = field(default_factory=uuid7)
    correlation_id: UUID = field(default_factory=uuid7)
    idempotency: Idempotency | None = None
    precondition: Check | None = None  # what must still be so when the change is recorded


class Authoriser(Protocol):
    def may(self, actor: Actor, action: str, ref: SubjectRef | None = None) -> bool: ...

    def visible(self, actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]: ...


class RefuseAll:
    """What stands in when no authoriser is configured: nobody may do or see anything."""

    def may(self, actor: Actor, action: str, ref: SubjectRef | None = None) -> bool:
        return False

    def visible(self, actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]:
        return queryset.none()


@cache
def _load(path: str) -> Authoriser:
    loaded: Authoriser = import_string(path)()
    return loaded


def authoriser() -> Authoriser:
    path = getattr(settings, "CRIVO_AUTHORISER", "")
    return _load(path) if path else RefuseAll()


def system_actor(process: str, workspace: UUID) -> Actor:
    """A process of Crivo itself (worker, sweep, notary). Its id is the same on every installation."""
    return Actor("system", uuid5(NAMESPACE_URL, f"urn:crivo:system:{process}"), workspace, label=process)
