from __future__ import annotations

from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audits import messages
from audits.actors import Actor
from audits.checks.contract import Message
from governance.actors import TokenRejected, actor_of_token, authenticate
from governance.api.throttling import count_anonymous


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer crv_…`. request.user becomes an Actor, request.auth the id of the token."""

    def authenticate(self, request: Request) -> tuple[Actor, UUID] | None:
        kind, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if kind.lower() != "bearer":
            count_anonymous(request)
            return None
        try:
            token = authenticate(text.strip())
        except TokenRejected as rejected:
            count_anonymous(request)
            raise AuthenticationFailed(
                messages.render(Message(rejected.code)), code=rejected.code
            ) from rejected
        return actor_of_token(token), token.id

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="crivo"'
