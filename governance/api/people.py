"""Accounts of people over HTTP: made, ended, restored. Never a password: that is set on the server."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.actors import Actor, authoriser
from audits.api.base import View, paged
from audits.api.schema import problems
from audits.errors import BadRequest, Forbidden
from audits.services.reasons import REASON_LIMIT
from governance.models import User
from governance.selectors import people_of
from governance.services import people
from registry.selectors import found


class NewPerson(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    first_name = serializers.CharField(max_length=150, required=False, default="", allow_blank=True)
    last_name = serializers.CharField(max_length=150, required=False, default="", allow_blank=True)
    email = serializers.EmailField(max_length=254, required=False, default="", allow_blank=True)


class AccountReason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=REASON_LIMIT)


class PersonOut(serializers.ModelSerializer[User]):
    created_at = serializers.DateTimeField(source="date_joined")
    active = serializers.BooleanField(source="is_active")

    class Meta:
        model = User
        fields = ["id", "username", "first_name", "last_name", "email", "active", "created_at"]


def _person(actor: Actor, name: str) -> User:
    return found(people_of(actor).filter(username=name), "person", name)


class People(View):
    query = ("active",)

    @extend_schema(request=NewPerson, responses={201: PersonOut, **problems(403, 409, 422)})
    def post(self, request: Request) -> Response:
        """Make an account, without a password and without a role."""
        given = NewPerson(data=request.data)
        given.is_valid(raise_exception=True)
        result = people.create_person(command=self.command(), **given.validated_data)
        return Response(PersonOut(result.value).data, status=201)

    @extend_schema(
        parameters=[OpenApiParameter("active", str, enum=["true", "false"])],
        responses={200: PersonOut(many=True), **problems(400, 403)},
    )
    def get(self, request: Request) -> Response:
        if not authoriser().may(self.actor, "access.read"):
            raise Forbidden("not_permitted", action="access.read")
        rows = people_of(self.actor)
        if (active := request.query_params.get("active")) is not None:
            if active not in ("true", "false"):
                raise BadRequest("invalid", field="active", reason=active[:50])
            rows = rows.filter(is_active=active == "true")
        return paged(self, rows, PersonOut)


class PersonDetail(View):
    @extend_schema(responses={200: PersonOut, **problems(404)})
    def get(self, request: Request, username: str) -> Response:
        return Response(PersonOut(_person(self.actor, username)).data)


class _Switch(View):
    def switched(self, request: Request, username: str, run: Any) -> Response:
        person, given = _person(self.actor, username), AccountReason(data=request.data)
        given.is_valid(raise_exception=True)
        result = run(command=self.command(), person=person, **given.validated_data)
        return Response(PersonOut(result.value).data)


class PersonDeactivation(_Switch):
    @extend_schema(request=AccountReason, responses={200: PersonOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, username: str) -> Response:
        """End an account, at once: its sessions and tokens answer nobody. Its roles and past stay on record."""
        return self.switched(request, username, people.deactivate_person)


class PersonReactivation(_Switch):
    @extend_schema(request=AccountReason, responses={200: PersonOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, username: str) -> Response:
        """Restore an account."""
        return self.switched(request, username, people.reactivate_person)


urlpatterns = [
    path("access/people", People.as_view()),
    path("access/people/<str:username>", PersonDetail.as_view()),
    path("access/people/<str:username>/deactivation", PersonDeactivation.as_view()),
    path("access/people/<str:username>/reactivation", PersonReactivation.as_view()),
]
