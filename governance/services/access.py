"""Who holds which role: giving, recertifying and taking away roles; groups and who is in them.

Three rules of every grant here: nobody gives what they do not hold where they hold it (roles.GRANTS), nobody gives to
themselves (not to a group they are in, not to a service they answer for), and a grant is effective only once its event
is published (governance.access). Taking away binds at commit.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ids import uuid7
from audits.ledger.record import lock, record
from audits.models import Workspace
from audits.services.reasons import require_reason
from governance import access, scoping
from governance.models import ApiToken, Group, GroupMembership, RoleBinding, RoleRecertification, User
from governance.models.access import RECERTIFY_EVERY, BindingScope
from governance.roles import GRANTS, ROLES
from governance.services.people import Nobody, known
from registry.models.base import Governed
from registry.names import checked_name

MAX_RECERTIFY = timedelta(days=3660)
NARROW = (BindingScope.MODEL, BindingScope.DATASET)


@service("role.bound")
def bind_role(
    *,
    command: Command,
    role: str,
    person: User | Nobody | None = None,
    group: Group | None = None,
    token: ApiToken | None = None,
    scope: str = BindingScope.WORKSPACE,
    on: SubjectRef | None = None,
    recertify_every: timedelta = RECERTIFY_EVERY,
) -> Result[RoleBinding]:
    """Give a role to exactly one of person, group and token; `on` is the model or dataset of a scope of that kind.

    The same again is the same binding (created False). One that has lapsed is closed, and a new one given.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    for row in (token, group):
        _here(command, row)
    target = _target(command, workspace, scope, on)
    _may_manage(command, "role.bind", scope, target, workspace.ref)
    if sum(row is not None for row in (person, group, token)) != 1:
        raise Unprocessable("principal_needed", subject=workspace.ref, field="person")
    person = known(person, workspace.ref)
    if role not in ROLES:
        raise Unprocessable("role_unknown", subject=workspace.ref, field="role", role=role, known=list(ROLES))
    if role not in _grantable(command, scope, target):
        raise Forbidden("role_not_grantable", subject=workspace.ref, role=role)
    if not timedelta(0) < recertify_every <= MAX_RECERTIFY:
        raise Unprocessable(
            "recertify_every_invalid", subject=workspace.ref, field="recertify_days", days=MAX_RECERTIFY.days
        )
    if _is_own(command, person, group, token):
        raise Conflict("own_role", subject=workspace.ref)
    binding, created = _bind(
        command,
        workspace,
        role,
        person,
        token,
        group=group,
        scope=scope,
        on=on,
        recertify_every=recertify_every,
    )
    return Result(binding, created=created)


def _target(command: Command, workspace: Workspace, scope: str, on: SubjectRef | None) -> SubjectRef:
    """What the role is to be held on. 422 for a scope without its subject, 404 for one of another workspace."""
    if scope not in BindingScope.values:
        known = list(BindingScope.values)
        raise Unprocessable(
            "scope_kind_unknown", subject=workspace.ref, field="scope", scope=scope, known=known
        )
    wanted = scope if scope in NARROW else None
    if (on.kind if on else None) != wanted:
        raise Unprocessable("scope_subject", subject=workspace.ref, field="on", scope=scope)
    if on is None:
        return workspace.ref
    if scoping.workspace_of(on) != command.actor.workspace:
        raise NotFound("not_found", kind=on.kind, name=str(on.id))
    return on


def _may_manage(
    command: Command, action: str, scope: str, target: SubjectRef | None, remember_on: SubjectRef
) -> None:
    """For the whole service only by who holds the action for the whole service; else as the subject says."""
    require(command, action, target, remember_on=remember_on)
    if scope == BindingScope.SERVICE and command.actor.kind != "system":
        roles = access.held_by(command.actor)
        if not any(role.scope_kind == BindingScope.SERVICE and role.permits(action) for role in roles):
            raise Forbidden("not_permitted", subject=remember_on, action=action)


def _grantable(command: Command, scope: str, target: SubjectRef) -> frozenset[str]:
    if command.actor.kind == "system":
        return frozenset(ROLES)
    owner = scoping.owner_of(target)
    giving = [role for role in access.held_by(command.actor) if role.covers(owner)]
    if scope == BindingScope.SERVICE:
        giving = [role for role in giving if role.scope_kind == BindingScope.SERVICE]
    return frozenset().union(*(GRANTS.get(role.role, frozenset()) for role in giving))


def _is_own(command: Command, person: User | None, group: Group | None, token: ApiToken | None) -> bool:
    actor = command.actor
    if actor.person is None:
        return False
    if person is not None:
        return person.id == actor.person
    if token is not None:
        return token.person_id == actor.person or token.id == actor.id
    return GroupMembership.objects.filter(group=group, person_id=actor.person, removed_at=None).exists()


def _here(command: Command, row: Governed | None) -> None:
    """404 for a row of another workspace: whoever administers one has no say, and no view, in another."""
    if row is not None and row.workspace_id != command.actor.workspace:
        raise NotFound("not_found", kind=row._meta.model_name or "", name=str(row.pk))


def _bind(
    command: Command,
    workspace: Workspace,
    role: str,
    person: User | None,
    token: ApiToken | None,
    *,
    group: Group | None = None,
    scope: str = BindingScope.WORKSPACE,
    on: SubjectRef | None = None,
    recertify_every: timedelta = RECERTIFY_EVERY,
) -> tuple[RoleBinding, bool]:
    same = {
        "workspace": workspace,
        "role": role,
        "person": person,
        "group": group,
        "token": token,
        "scope_kind": scope,
        "scope_id": on.id if on else None,
    }
    existing = access.dated().filter(revoked_at=None, **same).first()
    if existing is not None and existing.lapses_at > timezone.now():
        return existing, False
    if existing is not None:
        _close(command, existing)
    binding = RoleBinding(id=uuid7(), recertify_every=recertify_every, granted_event=uuid7(), **same)
    binding.save(force_insert=True)
    principal = binding.principal
    held_on = {"kind": scope, "id": str(on.id) if on else None}
    record(
        command,
        event_id=binding.granted_event,
        verb="role.bound",
        subject=binding.ref,
        after=digest_of({"role": role, "principal": str(principal.id), "scope": held_on}),
        detail={
            "role": role,
            "principal": {"kind": principal.kind, "id": str(principal.id)},
            "scope": held_on,
            "recertify_days": recertify_every.days,
        },
    )
    return binding, True


@service("role.unbound")
def unbind_role(*, command: Command, binding: RoleBinding) -> Result[RoleBinding]:
    """Take a role away. Binds at commit; doing it again changes nothing."""
    _here(command, binding)
    lock(binding.workspace_id, binding.ref)
    _may_manage(command, "role.bind", binding.scope_kind, binding.ref, binding.ref)
    binding = RoleBinding.objects.select_for_update(of=("self",)).get(id=binding.id)
    if binding.revoked_at is None:
        _close(command, binding)
    return Result(binding, created=False)


def _close(command: Command, binding: RoleBinding) -> None:
    binding.revoked_at = timezone.now()
    binding.save(update_fields=["revoked_at"])
    record(command, verb="role.unbound", subject=binding.ref, after=digest_of({"revoked": True}))


@service("role.recertified")
def recertify_role(*, command: Command, binding: RoleBinding, reason: str) -> Result[RoleRecertification]:
    """An administrator, not the holder, says that the role is still needed. Counts once published, like a grant."""
    _here(command, binding)
    lock(binding.workspace_id, binding.ref)
    _may_manage(command, "role.recertify", binding.scope_kind, binding.ref, binding.ref)
    binding = RoleBinding.objects.select_for_update(of=("self",)).get(id=binding.id)
    if _is_own(command, binding.person, binding.group, binding.token):
        raise Conflict("own_recertification", subject=binding.ref)
    if binding.role not in _grantable(command, binding.scope_kind, binding.ref):
        raise Forbidden("role_not_grantable", subject=binding.ref, role=binding.role)
    if binding.revoked_at is not None:
        raise Conflict("role_revoked", subject=binding.ref)
    require_reason(reason, binding.ref)
    event = record(
        command,
        verb="role.recertified",
        subject=binding.ref,
        texts={"reason": reason},
        after=digest_of({"role": binding.role, "recertified": True}),
        detail={"recertify_days": binding.recertify_every.days},
    )
    row = RoleRecertification.objects.create(binding=binding, by=command.actor.id, event_id=event.id)
    return Result(row)


@service("role.lapsed")
def note_lapse(*, command: Command, binding: RoleBinding) -> Result[RoleBinding]:
    """Tell the trail that a role has lapsed. It had no effect any more before this: informs, decides nothing."""
    lock(binding.workspace_id, binding.ref)
    record(
        command,
        verb="role.lapsed",
        subject=binding.ref,
        after=digest_of({"role": binding.role, "lapsed": True}),
        detail={"role": binding.role},
    )
    return Result(binding, created=False)


@service("group.created")
def create_group(*, command: Command, name: str, description: str = "") -> Result[Group]:
    """A group by name. Naming one that is there returns it (created False)."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "group.manage", None, remember_on=workspace.ref)
    checked_name(name, workspace.ref)
    existing = Group.objects.filter(workspace=workspace, name=name).first()
    if existing is not None:
        return Result(existing, created=False)
    group = Group.objects.create(workspace=workspace, name=name, description=description)
    record(command, verb="group.created", subject=group.ref, after=digest_of({"name": name}))
    return Result(group)


@service("group.member_added")
def add_member(*, command: Command, group: Group, person: User | Nobody) -> Result[GroupMembership]:
    """Somebody else than oneself into a group, with all its roles: only by who may give every one of them."""
    _here(command, group)
    lock(group.workspace_id, group.ref)
    require(command, "group.manage", None, remember_on=group.ref)
    person = _somebody(person, group)
    if person.id == command.actor.person:
        raise Conflict("own_role", subject=group.ref)
    for binding in RoleBinding.objects.filter(group=group, revoked_at=None):
        _may_manage(command, "role.bind", binding.scope_kind, binding.ref, group.ref)
        if binding.role not in _grantable(command, binding.scope_kind, binding.ref):
            raise Forbidden("role_not_grantable", subject=group.ref, role=binding.role)
    existing = GroupMembership.objects.filter(group=group, person=person, removed_at=None).first()
    if existing is not None:
        return Result(existing, created=False)
    event = record(
        command,
        verb="group.member_added",
        subject=group.ref,
        after=digest_of({"member": str(person.id), "in": True}),
        detail={"principal": {"kind": "person", "id": str(person.id)}},
    )
    return Result(GroupMembership.objects.create(group=group, person=person, added_event=event.id))


@service("group.member_removed")
def remove_member(*, command: Command, group: Group, person: User | Nobody) -> Result[Group]:
    """Binds at commit; doing it again changes nothing."""
    _here(command, group)
    lock(group.workspace_id, group.ref)
    require(command, "group.manage", None, remember_on=group.ref)
    person = _somebody(person, group)
    row = (
        GroupMembership.objects.select_for_update()
        .filter(group=group, person=person, removed_at=None)
        .first()
    )
    if row is not None:
        row.removed_at = timezone.now()
        row.save(update_fields=["removed_at"])
        record(
            command,
            verb="group.member_removed",
            subject=group.ref,
            after=digest_of({"member": str(person.id), "in": False}),
            detail={"principal": {"kind": "person", "id": str(person.id)}},
        )
    return Result(group, created=False)


def _somebody(person: User | Nobody, group: Group) -> User:
    found = known(person, group.ref)
    if found is None:
        raise TypeError("a member is somebody")
    return found
