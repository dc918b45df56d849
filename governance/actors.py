"""The actor behind a session or a token."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from audits.actors import Actor
from audits.models import Workspace
from governance import tokens
from governance.models import ApiToken, User
from governance.prepared import prepared

DEFAULT_WORKSPACE = "default"
USE_NOTED_EVERY = timedelta(minutes=1)


def actor_of_person(user: User, workspace: Workspace) -> Actor:
    return Actor("person", user.id, workspace.id, person=user.id, label=user.label)


def actor_of_token(token: ApiToken) -> Actor:
    """A personal token acts as its person; a service token as itself, with somebody who answers for it."""
    scopes = frozenset(token.scopes)
    if token.kind == ApiToken.Kind.PERSONAL:
        return Actor("person", token.person_id, token.workspace_id, person=token.person_id, scopes=scopes)
    return Actor(
        "token", token.id, token.workspace_id, person=token.person_id, scopes=scopes, label=token.name
    )


class TokenRejected(Exception):  # noqa: N818 - says what happened
    """Why a token was not accepted; `code` is a message code."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@prepared
def _token(*, public_id: str) -> QuerySet[ApiToken]:
    return ApiToken.objects.select_related("person").filter(public_id=public_id)


def authenticate(text: str) -> ApiToken:
    """The token of this text. TokenRejected: unknown, wrong secret, expired, revoked, or its person left."""
    parsed = tokens.parse(text)
    token = next(iter(_token(public_id=parsed[0])), None) if parsed else None
    if parsed is None or token is None or not tokens.matches(parsed[1], token.secret_hash):
        raise TokenRejected("token_unknown")
    now = timezone.now()
    if token.revoked_at is not None:
        raise TokenRejected("token_revoked")
    if token.expires_at <= now:
        raise TokenRejected("token_expired")
    if not token.person.is_active:
        raise TokenRejected("token_person_inactive")
    if token.last_used_at is None or token.last_used_at < now - USE_NOTED_EVERY:
        ApiToken.objects.filter(id=token.id).update(last_used_at=now)
    return token
