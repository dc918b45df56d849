"""From an event to its entry in the log: head, rest and the envelope that commits to both.

    head      who, what, to which subject, when, with what outcome: what an export may be filtered by
    rest      everything else; what is personal only as a salted commitment (LGPD Art. 18, GDPR Art. 17)
    envelope  the leaf: pseudonyms, number and previous entry of the subject, salted digests of head and rest

The forms are fixed by the stand-alone verifier; here they are built, and refused where they could not be
verified. A salt has 16 random bytes. Head and rest take a new one per event, a text one per text; a subject
and a workspace keep one for life, because their pseudonym must be the same in every entry.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from audits.verifier import (
    MAX_ENTRY,
    MAX_LINE,
    SALT_BYTES,
    canonical,
    leaf_hash,
    parse_envelope,
    parse_head,
    pseudonym,
    salted,
)

__all__ = [
    "Actor",
    "Body",
    "EventFields",
    "Evidence",
    "Policy",
    "Reason",
    "Salts",
    "Subject",
    "build",
    "build_envelope",
    "build_head",
    "build_rest",
    "entry_digest",
    "new_salt",
    "subject_pseudonym",
    "text_commitment",
    "timestamp",
    "workspace_pseudonym",
]

_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_VERB = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
# The manifest, tiles and punctuation of a line take little; a rest of this size leaves a line readable by
# all.
_MAX_REST = MAX_LINE // 2


@dataclass(frozen=True)
class Actor:
    """Who acts. `id` is a random id, never a name or an address: it stays in the log for ever."""

    kind: Literal["person", "token", "system"]
    id: str


@dataclass(frozen=True)
class Subject:
    """What the event is about. `label` must not be personal (use a text for those); `digest` is
    `sha256:<hex>`.
    """

    kind: str
    id: str
    label: str = ""
    digest: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why, as a stable code and its parameters; what a person typed is a text, of which only a commitment is here."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The policy that was applied."""

    id: str
    version: int
    digest: str


@dataclass(frozen=True)
class Evidence:
    """Something the decision rests on, by digest (`sha256:<hex>`)."""

    kind: str
    digest: str


@dataclass(frozen=True)
class EventFields:
    """One event. `at` is aware; `previous` is the digest (64 hex) of the subject's previous entry, None for
    number 1.

    `commitments` stand for texts that are personal or typed by people, by name (`reason`, `comment`,
    `subject_label` …; see `text_commitment`): texts and salts are kept outside the entry, so that they can
    go. `before`/`after` are digests of the subject's governed state, `detail` any JSON that is not personal.
    Numbers in it follow RFC 8785: integers up to 2^53-1, finite floats.
    """

    event_id: UUID
    workspace: str
    actor: Actor
    verb: str
    subject: Subject
    subject_seq: int
    previous: str | None
    at: datetime
    outcome: Literal["done", "refused"] = "done"
    on_behalf_of: Actor | None = None
    request_id: str | None = None
    correlation_id: str | None = None
    reason: Reason | None = None
    commitments: Mapping[str, str] = field(default_factory=dict)
    policy: Policy | None = None
    evidence: tuple[Evidence, ...] = ()
    before: str | None = None
    after: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


@dataclass(frozen=True)
class Salts:
    """Salts of one event, 16 bytes each."""

    subject: bytes
    workspace: bytes
    head: bytes
    rest: bytes

    @classmethod
    def fresh(cls, *, subject: bytes, workspace: bytes) -> Salts:
        """New salts beside the two a subject and a workspace keep."""
        return cls(subject, workspace, new_salt(), new_salt())


class Body(NamedTuple):
    """Canonical bytes: `head` and `rest` to be kept with their salts, `envelope` to become the leaf."""

    head: bytes
    rest: bytes
    envelope: bytes


def entry_digest(envelope: bytes) -> str:
    """The digest the subject's next event carries as `previous`: the RFC 6962 leaf hash, in hexadecimal."""
    return leaf_hash(envelope).hex()


def text_commitment(salt: bytes, text: str) -> str:
    """SHA-256(salt ‖ UTF-8 text) in hexadecimal."""
    return salted(salt, text.encode()).hex()


def subject_pseudonym(salt: bytes, kind: str, identifier: str) -> str:
    """SHA-256(salt ‖ canonical JSON [kind, id]) in hexadecimal: the array keeps kind and id apart."""
    return pseudonym(salt, kind, identifier).hex()


def workspace_pseudonym(salt: bytes, workspace: str) -> str:
    """The pseudonym of a subject of the kind "workspace"."""
    return pseudonym(salt, "workspace", workspace).hex()


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with six decimals, so that times sort as text. ValueError for a naive time."""
    if at.tzinfo is None:
        raise ValueError("the time of an event needs a time zone")
    return at.astimezone(UTC).strftime("%04Y-%m-%dT%H:%M:%S.%fZ")


def _actor(actor: Actor) -> dict[str, str]:
    if actor.kind not in ("person", "token", "system") or not actor.id:
        raise ValueError("an actor is a person, a token or the system, and has an id")
    return {"id": actor.id, "kind": actor.kind}


def build_head(fields: EventFields) -> bytes:
    """Canonical head. ValueError where a member is empty or not of the form an export can be filtered by."""
    if not _VERB.fullmatch(fields.verb):
        raise ValueError(f"a verb is dotted lower case, like promotion.granted, not {fields.verb!r}")
    if fields.outcome not in ("done", "refused"):
        raise ValueError("an outcome is done or refused")
    if not (fields.workspace and fields.subject.kind and fields.subject.id):
        raise ValueError("an event needs a workspace and a subject with kind and id")
    head = canonical(
        {
            "actor": _actor(fields.actor),
            "at": timestamp(fields.at),
            "correlation_id": fields.correlation_id,
            "outcome": fields.outcome,
            "request_id": fields.request_id,
            "subject": {"id": fields.subject.id, "kind": fields.subject.kind},
            "verb": fields.verb,
            "workspace": fields.workspace,
        }
    )
    parse_head(head)
    return head


def build_rest(fields: EventFields) -> bytes:
    """Canonical rest. ValueError where a commitment is none, or it would not fit a line."""
    if not all(_COMMITMENT.fullmatch(value) for value in fields.commitments.values()):
        raise ValueError("a commitment is 64 hexadecimal digits")
    reason, policy = fields.reason, fields.policy
    rest = canonical(
        {
            "after": fields.after,
            "before": fields.before,
            "detail": fields.detail,
            "evidence": [{"digest": item.digest, "kind": item.kind} for item in fields.evidence],
            "on_behalf_of": None if fields.on_behalf_of is None else _actor(fields.on_behalf_of),
            "policy": None
            if policy is None
            else {"digest": policy.digest, "id": policy.id, "version": policy.version},
            "reason": None if reason is None else {"code": reason.code, "params": reason.params},
            "subject": {"digest": fields.subject.digest, "label": fields.subject.label},
            "texts": dict(fields.commitments),
        }
    )
    if len(rest) > _MAX_REST:
        raise ValueError(
            f"the rest of an event may have {_MAX_REST:,} bytes; refer to large things by digest"
        )
    return rest


def build(fields: EventFields, salts: Salts) -> Body:
    """Head, rest and envelope of an event. Raises ValueError (CanonicalError included) for what cannot be
    verified.
    """
    head, rest = build_head(fields), build_rest(fields)
    envelope = canonical(
        {
            "event_id": str(fields.event_id),
            "head": salted(salts.head, head).hex(),
            "previous": fields.previous,
            "rest": salted(salts.rest, rest).hex(),
            "subject": subject_pseudonym(salts.subject, fields.subject.kind, fields.subject.id),
            "subject_seq": fields.subject_seq,
            "v": 1,
            "workspace": workspace_pseudonym(salts.workspace, fields.workspace),
        }
    )
    parse_envelope(envelope)
    assert len(envelope) <= MAX_ENTRY  # noqa: S101 - it has a fixed form of under 600 bytes
    return Body(head, rest, envelope)


def build_envelope(fields: EventFields, salts: Salts) -> bytes:
    """The leaf alone; see `build`."""
    return build(fields, salts).envelope
