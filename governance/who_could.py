"""Who could have done this on that day: everybody with the means, rebuilt from the history of bindings.

People and service tokens by what was in force at the moment asked about; and, outside Crivo's own rules, the superusers
of the console and the database roles that can write to its tables. What the answer cannot know it names as a limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from audits.actors import SubjectRef
from audits.checks.contract import Message
from audits.models import Event
from governance import access, scoping
from governance.authority import NEVER_BY_SERVICE_TOKEN
from governance.models import ApiToken, GroupMembership, RoleBinding, User
from governance.roles import covered_by

LIMITS = (
    "limit_roles_today",
    "limit_separation",
    "limit_shell",
    "limit_superusers_today",
    "limit_database_today",
)


@dataclass(frozen=True)
class Means:
    """By which binding, since when and until when at the latest; `group` is how it reached the person."""

    binding: RoleBinding
    since: datetime
    until: datetime
    group: str = ""


@dataclass
class Person:
    user: User
    means: list[Means] = field(default_factory=list)
    tokens: list[ApiToken] = field(default_factory=list)  # personal ones that could have acted as them


@dataclass
class Service:
    token: ApiToken
    means: list[Means] = field(default_factory=list)


@dataclass(frozen=True)
class DatabaseRole:
    name: str
    superuser: bool
    login: bool
    through: list[str]  # the roles it is a member of, by which it may write


@dataclass(frozen=True)
class Answer:
    action: str
    at: datetime
    people: list[Person]
    tokens: list[Service]
    superusers: list[User]
    database: list[DatabaseRole]
    limits: list[Message]


def who_could(workspace: UUID, action: str, at: datetime, on: SubjectRef | None = None) -> Answer:
    """`on` is a model or a dataset; without it, who could in the whole workspace."""
    owner = scoping.owner_of(on)
    rows = (
        access.bindings(at)
        .filter(access.in_workspace(workspace))
        .select_related("person", "group", "token__person")
    )
    giving = [
        row
        for row in rows.order_by("id")
        if (held := access.Held(row.role, row.scope_kind, row.scope_id)).permits(action)
        and held.covers(owner)
    ]
    people = _people(giving, at)
    for person in _inactive(list(people), at):
        del people[person]
    valid = ApiToken.objects.filter(
        Q(revoked_at=None) | Q(revoked_at__gt=at),
        workspace_id=workspace,
        created_at__lte=at,
        expires_at__gt=at,
    )
    for token in valid.filter(kind=ApiToken.Kind.PERSONAL, person_id__in=list(people)).order_by("id"):
        if action in covered_by(frozenset(token.scopes)):
            people[token.person_id].tokens.append(token)
    return Answer(
        action=action,
        at=at,
        people=sorted(people.values(), key=lambda person: person.user.username),
        tokens=_services(giving, set(valid.values_list("id", flat=True)), action),
        superusers=_superusers(at),
        database=database_roles(),
        limits=[Message(code) for code in LIMITS],
    )


def _people(giving: Iterable[RoleBinding], at: datetime) -> dict[UUID, Person]:
    rows = list(giving)
    members: dict[UUID, list[GroupMembership]] = defaultdict(list)
    groups = [row.group_id for row in rows if row.group_id]
    for membership in access.memberships(at).filter(group_id__in=groups).select_related("person"):
        members[membership.group_id].append(membership)
    people: dict[UUID, Person] = {}
    for row in rows:
        dates: Any = row  # annotated
        if row.person is not None:
            means = Means(row, dates.effective_from, dates.lapses_at)
            people.setdefault(row.person.id, Person(row.person)).means.append(means)
        for membership in members[row.group_id] if row.group_id else ():
            joined: Any = membership
            since = max(dates.effective_from, joined.effective_from)
            means = Means(row, since, dates.lapses_at, row.group.name if row.group else "")
            people.setdefault(membership.person_id, Person(membership.person)).means.append(means)
    return people


def _superusers(at: datetime) -> list[User]:
    rows = User.objects.filter(is_superuser=True, date_joined__lte=at)
    gone = _inactive(list(rows.values_list("id", flat=True)), at)
    return list(rows.exclude(id__in=gone).order_by("username"))


def _inactive(people: list[UUID], at: datetime) -> set[UUID]:
    """Whose account was ended at that time, by the last event about it; without one, by what it is now."""
    rows = Event.objects.filter(subject_kind="person", subject_id__in=people, outcome="done")
    told = dict(rows.filter(at__lte=at).order_by("subject_seq").values_list("subject_id", "verb"))
    now = dict(User.objects.filter(id__in=people).values_list("id", "is_active"))
    untold = set(people) - set(rows.values_list("subject_id", flat=True))
    ended = ("person.deactivated", "person.erased")
    return {person for person, verb in told.items() if verb in ended} | {
        person for person in untold if not now[person]
    }


def _services(giving: Iterable[RoleBinding], valid: set[UUID], action: str) -> list[Service]:
    if action in NEVER_BY_SERVICE_TOKEN:
        return []
    services: dict[UUID, Service] = {}
    for row in giving:
        token, dates = row.token, row
        if token is None or token.id not in valid or action not in covered_by(frozenset(token.scopes)):
            continue
        found: Any = dates
        means = Means(row, found.effective_from, min(found.lapses_at, token.expires_at))
        services.setdefault(token.id, Service(token)).means.append(means)
    return sorted(services.values(), key=lambda service: service.token.name)


_DATABASE_ROLES = """
WITH RECURSIVE member(login, role) AS (
    SELECT oid, oid FROM pg_roles
  UNION
    SELECT member.login, m.roleid FROM member JOIN pg_auth_members m ON m.member = member.role
), writer AS (
    SELECT r.oid, r.rolname FROM pg_roles r
    WHERE r.rolsuper OR EXISTS (
        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relname = ANY(%s)
          AND (c.relowner = r.oid OR EXISTS (
            SELECT 1 FROM aclexplode(c.relacl) a WHERE a.grantee = r.oid
              AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'))
            OR EXISTS (  -- a right on single columns is none of the table's own list
              SELECT 1 FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND a.grantee = r.oid
                AND a.privilege_type IN ('INSERT', 'UPDATE'))))
)
SELECT r.rolname, r.rolsuper, r.rolcanlogin,
       array_agg(DISTINCT w.rolname ORDER BY w.rolname) FILTER (WHERE w.oid <> r.oid)
FROM pg_roles r JOIN member m ON m.login = r.oid JOIN writer w ON w.oid = m.role
GROUP BY 1, 2, 3 ORDER BY 1
"""
WRITTEN = ["governance_decision", "governance_role_binding", "governance_placement", "audits_event"]


def database_roles() -> list[DatabaseRole]:
    """Roles of the database that may write decisions, bindings, placements or events: superusers, owners, grantees."""
    with connection.cursor() as cursor:
        cursor.execute(_DATABASE_ROLES, [WRITTEN])
        return [
            DatabaseRole(name, superuser, login, list(through or []))
            for name, superuser, login, through in cursor.fetchall()
        ]
