"""Inviting people outside to sign off, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.urls import path, reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import View, given_by
from audits.api.schema import problems
from audits.sealing import texts_of
from governance import selectors
from governance.models import SignoffInvitation
from governance.roles import EXTERNAL
from governance.services import signoffs


class NewSignoff(serializers.Serializer[None]):
    role = serializers.ChoiceField(choices=list(EXTERNAL.items()))
    name = serializers.CharField(max_length=signoffs.NAME_LIMIT)
    email = serializers.EmailField()
    hours = serializers.IntegerField(min_value=1, max_value=24 * 30, default=24 * 7, required=False)


class SignoffOut(serializers.Serializer[None]):
    id = serializers.UUIDField()
    role = serializers.ChoiceField(choices=list(EXTERNAL.items()))
    name = serializers.CharField()
    email = serializers.CharField()
    state = serializers.ChoiceField(choices=["open", "used", "revoked", "expired"])
    expires_at = serializers.DateTimeField()
    url = serializers.CharField(allow_null=True, help_text="shown once, when the invitation is made")


class SignoffsOut(serializers.Serializer[None]):
    results = SignoffOut(many=True)


def signoff_out(row: SignoffInvitation, url: str | None = None) -> dict[str, Any]:
    texts = texts_of([row.event_id])
    return {
        "id": row.id,
        "role": row.role,
        "name": texts.get((row.event_id, "name"), ""),
        "email": texts.get((row.event_id, "email"), ""),
        "state": signoffs.why_closed(row).removeprefix("signoff_") or "open",
        "expires_at": row.expires_at,
        "url": url,
    }


class Signoffs(View):
    @extend_schema(
        request=NewSignoff,
        responses={201: SignoffOut, **problems(403, 404, 409, 422)},
        description="Invite somebody outside. The link works once, and stands in this answer only.",
    )
    def post(self, request: Request, promotion_id: UUID) -> Response:
        selectors.promotion(self.actor, promotion_id)
        given = given_by(NewSignoff, request)
        hours, link = timedelta(hours=given.pop("hours")), signoffs.Link()
        result = signoffs.invite_signoff(
            command=self.command(), promotion_id=promotion_id, lifetime=hours, link=link, **given
        )
        url = request.build_absolute_uri(reverse("signoff", args=[link.text])) if link.text else None
        response = Response(signoff_out(result.value, url), status=201)
        response["Cache-Control"] = "no-store"
        return response

    @extend_schema(responses={200: SignoffsOut, **problems(404)})
    def get(self, request: Request, promotion_id: UUID) -> Response:
        row = selectors.promotion(self.actor, promotion_id)
        return Response({"results": [signoff_out(found) for found in row.signoffs.order_by("id")]})


class SignoffRevocation(View):
    @extend_schema(request=None, responses={200: SignoffOut, **problems(403, 404, 409)})
    def post(self, request: Request, promotion_id: UUID, invitation_id: UUID) -> Response:
        selectors.promotion(self.actor, promotion_id)
        result = signoffs.revoke_signoff(
            command=self.command(), promotion_id=promotion_id, invitation_id=invitation_id
        )
        return Response(signoff_out(result.value))


urlpatterns = [
    path("promotions/<uuid:promotion_id>/signoffs", Signoffs.as_view()),
    path(
        "promotions/<uuid:promotion_id>/signoffs/<uuid:invitation_id>/revocation", SignoffRevocation.as_view()
    ),
]
