"""People, tokens and roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance import tokens
from governance.models import ApiToken, RoleBinding, User
from governance.roles import ROLES, SCOPES

MAX_LIFETIME = timedelta(days=366)


@dataclass
class Issued:
    """Filled by issue_token with the text of the token: the only place where it ever stands."""

    text: str = ""


@service("token.issued")
def issue_token(
    *,
    command: Command,
    person: User,
    name: str,
    kind: str,
    scopes: Sequence[str],
    lifetime: timedelta,
    issued: Issued,
) -> Result[ApiToken]:
    """A token for `person` (personal), or for a service they answer for. The text goes into `issued`, once."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "token.issue", workspace.ref)
    if kind == ApiToken.Kind.PERSONAL and command.actor.kind != "system" and command.actor.id != person.id:
        # Who holds the text acts as that person, and could fill two places of a quorum.
        raise Forbidden("personal_token_of_another", subject=workspace.ref)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Unprocessable(
            "scope_unknown", subject=workspace.ref, field="scopes", unknown=unknown, known=list(SCOPES)
        )
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise Unprocessable("token_lifetime", subject=workspace.ref, field="expires", days=MAX_LIFETIME.days)
    text, public_id, secret_hash = tokens.new_token()
    token = ApiToken.objects.create(
        workspace=workspace,
        public_id=public_id,
        secret_hash=secret_hash,
        name=name,
        kind=kind,
        person=person,
        scopes=sorted(set(scopes)),
        expires_at=timezone.now() + lifetime,
    )
    record(
        command,
        verb="token.issued",
        subject=token.ref,
        after=digest_of({"scopes": token.scopes, "kind": kind, "expires": token.expires_at.isoformat()}),
        detail={"person": str(person.id), "kind": kind, "scopes": token.scopes},
    )
    issued.text = text
    return Result(token)


@service("token.revoked")
def revoke_token(*, command: Command, token: ApiToken) -> Result[ApiToken]:
    """Binds at commit. Revoking twice changes nothing."""
    _here(command, token)
    lock(token.workspace_id, token.ref)
    if command.actor.person != token.person_id:
        require(command, "token.issue", token.ref)
    token = ApiToken.objects.select_for_update().get(id=token.id)
    if token.revoked_at is not None:
        return Result(token, created=False)
    token.revoked_at = timezone.now()
    token.save(update_fields=["revoked_at"])
    record(command, verb="token.revoked", subject=token.ref, after=digest_of({"revoked": True}))
    return Result(token, created=False)


def _here(command: Command, row: ApiToken | RoleBinding) -> None:
    """404 for a row of another workspace: whoever administers one has no say, and no view, in another."""
    if row.workspace_id != command.actor.workspace:
        raise NotFound("not_found", kind=row.ref.kind, name=str(row.id))


def principal_ref(person: User | None, token: ApiToken | None) -> SubjectRef:
    subject = person or token
    if subject is None:
        raise ValueError("a role is bound to a person or to a token")
    return subject.ref


@service("role.bound")
def bind_role(
    *, command: Command, role: str, person: User | None = None, token: ApiToken | None = None
) -> Result[RoleBinding]:
    """Give a role to somebody else: nobody gives one to themselves."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "role.bind", workspace.ref)
    if role not in ROLES:
        raise Unprocessable("role_unknown", subject=workspace.ref, field="role", role=role, known=list(ROLES))
    if person is not None and person.id == command.actor.person:
        raise Conflict("own_role", subject=workspace.ref)
    if token is not None:
        _here(command, token)
    binding, created = _bind(command, workspace, role, person, token)
    return Result(binding, created=created)


def _bind(
    command: Command, workspace: Workspace, role: str, person: User | None, token: ApiToken | None
) -> tuple[RoleBinding, bool]:
    existing = RoleBinding.objects.filter(
        workspace=workspace, role=role, person=person, token=token, revoked_at=None
    ).first()
    if existing is not None:
        return existing, False
    binding = RoleBinding.objects.create(workspace=workspace, role=role, person=person, token=token)
    principal = principal_ref(person, token)
    record(
        command,
        verb="role.bound",
        subject=binding.ref,
        after=digest_of({"role": role, "principal": str(principal.id)}),
        detail={"role": role, "principal": {"kind": principal.kind, "id": str(principal.id)}},
    )
    return binding, True


@service("role.unbound")
def unbind_role(*, command: Command, binding: RoleBinding) -> Result[RoleBinding]:
    """Take a role away. Binds at commit."""
    _here(command, binding)
    lock(binding.workspace_id, binding.ref)
    require(command, "role.bind", binding.ref)
    binding = RoleBinding.objects.select_for_update().get(id=binding.id)
    if binding.revoked_at is None:
        binding.revoked_at = timezone.now()
        binding.save(update_fields=["revoked_at"])
        record(command, verb="role.unbound", subject=binding.ref, after=digest_of({"revoked": True}))
    return Result(binding, created=False)
