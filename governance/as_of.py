"""As of a moment: what was known about a subject then, which policy applied, who held which role, what the gate said.

Everything is derived from events and from the times at which checkpoints were published; nothing is a copy kept for
this question. What was pruned since is told of, and no state, policy, role or answer of the gate ever followed from it
(audits.retention). A grant counts from the first published checkpoint that holds its event, a restriction from its
event: the rules by which it was answered then. An event's time is taken inside its transaction, so the two agree but
for the length of a commit (milliseconds)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from audits import trail, verbs
from audits.actors import Actor, SubjectRef, authoriser
from audits.checks.contract import Message
from audits.errors import BadRequest, Forbidden, NotFound, Unprocessable
from audits.ledger import pruned
from audits.ledger.inclusion import published_at
from audits.models import Checkpoint, Event
from governance import access, gate, scoping
from governance.in_force import matching
from governance.models import Environment, Placement, PolicyVersion, Promotion, UseCase
from governance.standings import PLACEMENT_STATE_AFTER, VERSION_STATE_AFTER, state_after
from registry.models import ModelVersion

MOST_EVENTS = 100  # shown; all are counted
TABLES: dict[str, Mapping[str, str]] = {
    "placement": PLACEMENT_STATE_AFTER,
    "model_version": VERSION_STATE_AFTER,
}
_NAMED = re.compile(r"(?P<kind>[a-z_]{1,60}):(?P<id>[0-9a-fA-F-]{36})")
_LABEL = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)@(?P<n>[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Told:
    """One event as it was written. `index` is its place in the log."""

    event: Event
    sentence: str

    @property
    def index(self) -> int | None:
        leaf = getattr(self.event, "leaf", None)
        return leaf.index if leaf is not None else None


@dataclass(frozen=True)
class PolicyThen:
    """`policy` None: none applied, and why is `reason`."""

    environment: str
    policy: PolicyVersion | None
    since: datetime | None
    reason: Message | None = None


@dataclass(frozen=True)
class RoleThen:
    role: str
    principal_kind: str
    principal: UUID
    name: str
    since: datetime


@dataclass(frozen=True)
class GateThen:
    environment: str
    answer: gate.Answer


@dataclass(frozen=True)
class State:
    """What was so at `at`. `events` are the newest by then, oldest first; `count` is how many there were."""

    subject: SubjectRef
    at: datetime
    count: int
    events: list[Told]
    state: str | None
    policies: list[PolicyThen] = field(default_factory=list)
    roles: list[RoleThen] = field(default_factory=list)
    gate: list[GateThen] = field(default_factory=list)
    log_size: int = 0  # entries in the newest checkpoint published by then
    pruned: list[Message] = field(default_factory=list)  # events of the subject that are in an export only


def state_of(actor: Actor, subject: str, at: datetime) -> State:
    """`subject` is `name@n` (a model version) or `kind:id`. 403 for whom the trail is not; 404 without one.

    Who reads the trail of one model or dataset is told of the roles that reach it, and of policies they may read.
    """
    if not authoriser().anywhere(actor, "audit.read"):
        raise Forbidden("not_permitted", action="audit.read")
    ref = _subject(actor, subject)
    everywhere = authoriser().may(actor, "audit.read")
    then = trail.events(actor).filter(subject_kind=ref.kind, subject_id=ref.id, at__lte=at)
    newest = list(then.order_by("-subject_seq")[:MOST_EVENTS])
    version = _version(actor, ref)
    checkpoint = Checkpoint.objects.filter(published_at__lte=at).order_by("-size").first()
    return State(
        subject=ref,
        at=at,
        count=then.count(),
        events=_told(actor, newest[::-1]),
        state=_state(ref, newest, at),
        policies=[
            row for row in policies_at(actor.workspace, version, at) if everywhere or _shown(actor, row)
        ],
        roles=roles_at(actor.workspace, at, None if everywhere else scoping.owner_of(ref)),
        gate=_gate(actor.workspace, version, at),
        log_size=checkpoint.size if checkpoint is not None else 0,
        pruned=pruned.notes(actor.workspace, until=at, subject=(ref.kind, ref.id)),
    )


def _subject(actor: Actor, text: str) -> SubjectRef:
    if match := _LABEL.fullmatch(text):
        version = ModelVersion.objects.filter(
            workspace_id=actor.workspace, model__name=match["name"], n=int(match["n"])
        ).select_related("model")
        found = version.first()
        if found is None or not authoriser().may(actor, "audit.read", found.ref):
            raise NotFound("not_found", kind="model version", name=text)
        return found.ref
    match = _NAMED.fullmatch(text)
    try:
        subject = UUID(match["id"]) if match else None
    except ValueError:
        subject = None
    if match is None or subject is None:
        raise BadRequest("invalid", field="subject", reason="a model version as name@n, or kind:id")
    last = (
        trail.events(actor)
        .filter(subject_kind=match["kind"], subject_id=subject)
        .order_by("-subject_seq")
        .first()
    )
    if last is None:
        gone = trail.pruned_events(actor).filter(subject_kind=match["kind"], subject_id=subject)
        if gone.exists():
            return SubjectRef(match["kind"], subject)
        raise NotFound("not_found", kind=match["kind"], name=match["id"])
    return SubjectRef(match["kind"], subject, last.subject_label, last.subject_digest)


def _shown(actor: Actor, row: PolicyThen) -> bool:
    """Whether the policy may be read; that there was none is no secret."""
    if row.policy is None:
        return True
    return authoriser().visible(actor, PolicyVersion.objects.filter(id=row.policy.id)).exists()


def _told(actor: Actor, events: Sequence[Event]) -> list[Told]:
    names = trail.names_of(actor.workspace, {event.actor_id for event in events})
    return [
        Told(
            event,
            verbs.sentence(
                event.verb,
                names.get(event.actor_id, str(event.actor_id)),
                event.subject_label or event.subject_kind,
            ),
        )
        for event in events
    ]


def _state(ref: SubjectRef, newest_first: Sequence[Event], at: datetime) -> str | None:
    if ref.kind in TABLES:
        return state_after(ref.kind, [ref.id], TABLES[ref.kind], at).get(ref.id)
    if ref.kind == "promotion":
        states = {
            "promotion.requested": "checking",
            "promotion.reopened": "checking",
            "promotion.checked": "awaiting_approval",
            "promotion.granted": "granted",
            "promotion.refused": "refused",
            "promotion.withdrawn": "withdrawn",
        }
        for event in newest_first:
            if event.outcome == "done" and event.verb in states:
                return states[event.verb]
    return None


def _version(actor: Actor, ref: SubjectRef) -> ModelVersion | None:
    """The model version a subject is about, if it is about one."""
    rows = ModelVersion.objects.filter(workspace_id=actor.workspace).select_related("model")
    if ref.kind == "model_version":
        return rows.filter(id=ref.id).first()
    if ref.kind == "promotion":
        return rows.filter(id__in=Promotion.objects.filter(id=ref.id).values("version_id")).first()
    if ref.kind == "placement":
        return rows.filter(id__in=Placement.objects.filter(id=ref.id).values("version_id")).first()
    return None


def versions_in_force_at(workspace: UUID, at: datetime) -> list[tuple[PolicyVersion, datetime]]:
    """The newest version of each policy whose event had been published by then, and since when, by name."""
    rows = list(
        PolicyVersion.objects.filter(workspace_id=workspace, created_at__lte=at).order_by("name", "-n")
    )
    published = published_at(row.granted_event for row in rows)
    found: dict[str, tuple[PolicyVersion, datetime]] = {}
    for row in rows:
        since = published.get(row.granted_event)
        if since is not None and since <= at:
            found.setdefault(row.name, (row, since))
    return list(found.values())


def policies_at(workspace: UUID, version: ModelVersion | None, at: datetime) -> list[PolicyThen]:
    """For a version, what its promotion to each environment was held against; else every policy in force."""
    in_force = versions_in_force_at(workspace, at)
    since = {row.id: moment for row, moment in in_force}
    if version is None:
        return [PolicyThen(row.environment, row, moment) for row, moment in in_force]
    use_case = UseCase.objects.filter(
        workspace_id=workspace, name=version.metadata.get("use_case", ""), created_at__lte=at
    ).first()
    found = []
    for environment in _environments(workspace, at):
        if use_case is None:
            break
        try:
            policy = matching([row for row, _ in in_force], use_case, environment.name)
        except Unprocessable as overlap:
            found.append(PolicyThen(environment.name, None, None, overlap.message))
            continue
        about = {"environment": environment.name, "use_case": use_case.name}
        reason = Message("no_policy", about) if policy is None else None
        found.append(PolicyThen(environment.name, policy, since[policy.id] if policy else None, reason))
    return found


def _environments(workspace: UUID, at: datetime) -> Iterable[Environment]:
    return Environment.objects.filter(workspace_id=workspace, created_at__lte=at).order_by("position")


def roles_at(workspace: UUID, at: datetime, owner: tuple[str, UUID] | None = None) -> list[RoleThen]:
    """Who held which role, by the events that gave and took them; a role binds, and ends, with its commit.

    `owner`: the model or dataset that the roles have to reach; None: whatever they were held on.
    """
    rows = Event.objects.filter(
        workspace_id=workspace,
        subject_kind="role_binding",
        verb__in=("role.bound", "role.unbound"),
        outcome="done",
        at__lte=at,
    )
    bound: dict[UUID, Event] = {}
    for event in rows.order_by("subject_id", "subject_seq"):
        if event.verb == "role.bound" and (owner is None or _held(event.detail).covers(owner)):
            bound[event.subject_id] = event
        elif event.verb == "role.unbound":
            bound.pop(event.subject_id, None)
    held = [(event, event.detail["role"], _principal(event.detail)) for event in bound.values()]
    names = trail.names_of(workspace, {UUID(principal["id"]) for _, _, principal in held})
    return sorted(
        (
            RoleThen(
                role,
                principal["kind"],
                UUID(principal["id"]),
                names.get(UUID(principal["id"]), principal["id"]),
                event.at,
            )
            for event, role, principal in held
        ),
        key=lambda row: (row.role, row.name, row.principal),
    )


def _held(detail: Any) -> access.Held:
    scope = detail.get("scope") or {"kind": "workspace", "id": None}
    return access.Held(detail["role"], scope["kind"], UUID(scope["id"]) if scope["id"] else None)


def _principal(detail: Any) -> dict[str, str]:
    found: dict[str, str] = detail["principal"]
    return found


def _gate(workspace: UUID, version: ModelVersion | None, at: datetime) -> list[GateThen]:
    if version is None:
        return []
    environments = [row.name for row in _environments(workspace, at)]
    questions = [gate.Question(version.artifact_digest, name, version.model.name) for name in environments]
    answers = gate.ask_all(workspace, questions, at)
    return [GateThen(name, answer) for name, answer in zip(environments, answers, strict=True)]
