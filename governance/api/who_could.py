"""The question who could have done something, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages, moments
from audits.actors import authoriser
from audits.api.base import View
from audits.api.schema import ReasonOut, problems
from audits.errors import BadRequest, Forbidden
from governance.api.access import PERSON, subject_named
from governance.roles import ACTIONS
from governance.who_could import Answer, Means, who_could


class MeansOut(serializers.Serializer[Any]):
    binding = serializers.UUIDField()
    role = serializers.CharField()
    scope = serializers.CharField()
    group = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(help_text="when it lapses")


class CouldToken(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class CouldPerson(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField(help_text=PERSON)
    means = MeansOut(many=True)
    tokens = CouldToken(many=True, help_text="personal tokens that could act as them")


class CouldService(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    responsible = serializers.CharField(help_text=PERSON)
    means = MeansOut(many=True)


class CouldDatabase(serializers.Serializer[Any]):
    name = serializers.CharField()
    superuser = serializers.BooleanField()
    login = serializers.BooleanField()
    through = serializers.ListField(child=serializers.CharField())


class CouldOut(serializers.Serializer[Any]):
    action = serializers.CharField()
    at = serializers.DateTimeField()
    people = CouldPerson(many=True)
    tokens = CouldService(many=True)
    superusers = serializers.ListField(child=serializers.CharField())
    database = CouldDatabase(many=True)
    limits = ReasonOut(many=True, help_text="what this answer cannot know")


def moment_of(text: str | None) -> datetime:
    """A time with its zone, not after now; without one, now."""
    if not text:
        return timezone.now()
    moment = moments.moment_of(text)
    if moment is None:
        raise BadRequest("invalid", field="at", reason="a time with its zone, like 2026-01-31T00:00:00Z")
    if moment > timezone.now():
        raise BadRequest("moment_in_the_future", field="at")
    return moment


class WhoCould(View):
    query = ("action", "at", "model", "dataset")

    @extend_schema(
        parameters=[
            OpenApiParameter("action", str, required=True, enum=sorted(ACTIONS)),
            OpenApiParameter("at", OpenApiTypes.DATETIME, description="default now"),
            OpenApiParameter("model", str, description="on this model; default: in the whole workspace"),
            OpenApiParameter("dataset", str, description="on this dataset"),
        ],
        responses={200: CouldOut, **problems(400, 403, 404)},
        description="Who had the means for an action at a time: people, tokens, superusers, database roles.",
    )
    def get(self, request: Request) -> Response:
        given = request.query_params
        if not authoriser().may(self.actor, "access.read"):
            raise Forbidden("not_permitted", action="access.read")
        action = given.get("action", "")
        if action not in ACTIONS:
            raise BadRequest("action_unknown", field="action", action=action[:60], known=sorted(ACTIONS))
        if "model" in given and "dataset" in given:
            raise BadRequest("invalid", field="dataset", reason="either a model or a dataset")
        kind = "model" if "model" in given else "dataset"
        on = subject_named(self.actor, kind, given.get(kind))
        return Response(could_shape(who_could(self.actor.workspace, action, moment_of(given.get("at")), on)))


def could_shape(answer: Answer) -> dict[str, Any]:
    def means(rows: list[Means]) -> list[dict[str, Any]]:
        return [
            {
                "binding": row.binding.id,
                "role": row.binding.role,
                "scope": row.binding.scope_kind,
                "group": row.group,
                "since": row.since,
                "until": row.until,
            }
            for row in rows
        ]

    return {
        "action": answer.action,
        "at": answer.at,
        "people": [
            {
                "id": person.user.id,
                "name": person.user.username,
                "means": means(person.means),
                "tokens": [{"id": token.id, "name": token.name} for token in person.tokens],
            }
            for person in answer.people
        ],
        "tokens": [
            {
                "id": service.token.id,
                "name": service.token.name,
                "responsible": service.token.person.username,
                "means": means(service.means),
            }
            for service in answer.tokens
        ],
        "superusers": [user.username for user in answer.superusers],
        "database": [
            {"name": row.name, "superuser": row.superuser, "login": row.login, "through": row.through}
            for row in answer.database
        ],
        "limits": [messages.as_json(limit) for limit in answer.limits],
    }


urlpatterns = [path("access/who-could", WhoCould.as_view())]
