"""Tokens. Roles are given in governance.services.access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance import tokens
from governance.models import ApiToken, User
from governance.roles import SCOPES
from governance.services.access import _here
from governance.services.access import bind_role as bind_role
from governance.services.access import unbind_role as unbind_role
from governance.services.people import Nobody

MAX_LIFETIME = timedelta(days=366)


@dataclass
class Issued:
    """Filled by issue_token with the text of the token: the only place where it ever stands."""

    text: str = ""


@service("token.issued")
def issue_token(
    *,
    command: Command,
    person: User | Nobody,
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
    if isinstance(person, Nobody):
        raise Unprocessable("person_unknown", subject=workspace.ref, field="person", name=person.name)
    if kind == ApiToken.Kind.PERSONAL and command.actor.kind != "system":
        if command.actor.id != person.id:
            # Who holds the text acts as that person, and could fill two places of a quorum.
            raise Forbidden("personal_token_of_another", subject=workspace.ref)
        # A token makes no token that can do more: what leaks stays as narrow as it was issued.
        beyond = sorted(set(scopes) - command.actor.scopes) if command.actor.scopes is not None else []
        if beyond:
            raise Forbidden("scopes_beyond_own", subject=workspace.ref, scopes=beyond)
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
