"""Roles, groups and tokens over HTTP, and the question who could have done something."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.actors import Actor, SubjectRef, authoriser
from audits.api.base import View, given_by, paged
from audits.api.schema import problems
from audits.errors import BadRequest, Forbidden, Unprocessable
from governance import access
from governance.models import ApiToken, Group, RoleBinding, User
from governance.models.access import BindingScope
from governance.roles import ROLES, SCOPES
from governance.services import access as roles
from governance.services.identity import Issued, issue_token, revoke_token
from governance.services.people import named
from registry.selectors import dataset, found, model

PERSON = "user name"


class NewBinding(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=list(ROLES))
    person = serializers.CharField(max_length=150, required=False, help_text=PERSON)
    group = serializers.CharField(max_length=200, required=False)
    token = serializers.UUIDField(required=False, help_text="id of a service token")
    scope = serializers.ChoiceField(choices=BindingScope.choices, default=BindingScope.WORKSPACE)
    on = serializers.CharField(
        max_length=200, required=False, help_text="name of the model or dataset, for these scopes"
    )
    recertify_days = serializers.IntegerField(min_value=1, max_value=3660, default=365)


class PrincipalOut(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="person, group or token")
    id = serializers.UUIDField()
    name = serializers.CharField()


class BindingOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    role = serializers.CharField()
    principal = PrincipalOut()
    scope = serializers.ChoiceField(choices=BindingScope.choices)
    on = serializers.UUIDField(allow_null=True, help_text="id of the model or dataset")
    in_force = serializers.BooleanField()
    effective_from = serializers.DateTimeField(allow_null=True, help_text="null: not in a checkpoint yet")
    certified_at = serializers.DateTimeField()
    lapses_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(binding_shape(instance))


class Recertification(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=4000)


class NewGroup(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class Member(serializers.Serializer[Any]):
    person = serializers.CharField(max_length=150, help_text=PERSON)


class GroupOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    members = PrincipalOut(many=True)
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        people = [row.person for row in access.memberships().filter(group=instance).select_related("person")]
        members = [_principal("person", person.id, person.username) for person in people]
        return super().to_representation(
            {
                "id": instance.id,
                "name": instance.name,
                "description": instance.description,
                "members": sorted(members, key=lambda member: str(member["name"])),
                "created_at": instance.created_at,
            }
        )


class NewToken(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField(choices=ApiToken.Kind.choices)
    person = serializers.CharField(
        max_length=150, required=False, help_text="who answers for a service token; default: you"
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES)), min_length=1, max_length=50
    )
    days = serializers.IntegerField(min_value=1, max_value=366, default=90)


class TokenOut(serializers.ModelSerializer[ApiToken]):
    person = serializers.CharField(source="person.username")

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "public_id",
            "name",
            "kind",
            "person",
            "scopes",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]


class IssuedOut(TokenOut):
    token = serializers.CharField(
        allow_null=True, help_text="the secret text: shown once, null when the request is repeated"
    )

    class Meta(TokenOut.Meta):
        fields = [*TokenOut.Meta.fields, "token"]


def _principal(kind: str, id: UUID, name: str) -> dict[str, Any]:
    return {"kind": kind, "id": id, "name": name}


def binding_shape(row: RoleBinding) -> dict[str, Any]:
    """Of a row with its dates (access.dated)."""
    dates: Any = row
    now = timezone.now()
    principal = row.principal
    name = row.person.username if row.person else str(row.group) if row.group else principal.label
    effective = dates.effective_from
    return {
        "id": row.id,
        "role": row.role,
        "principal": _principal(principal.kind, principal.id, name),
        "scope": row.scope_kind,
        "on": row.scope_id,
        "in_force": row.revoked_at is None and effective is not None and effective <= now < dates.lapses_at,
        "effective_from": effective,
        "certified_at": dates.certified_at,
        "lapses_at": dates.lapses_at,
        "revoked_at": row.revoked_at,
        "created_at": row.created_at,
    }


def _bindings(actor: Actor) -> QuerySet[Any]:
    return authoriser().visible(actor, access.dated().select_related("person", "group", "token"))


def _binding(actor: Actor, binding_id: UUID) -> RoleBinding:
    row: RoleBinding = found(_bindings(actor).filter(id=binding_id), "role binding", str(binding_id))
    return row


def _readable(view: View) -> None:
    if not authoriser().anywhere(view.actor, "access.read"):
        raise Forbidden("not_permitted", action="access.read")


def subject_named(actor: Actor, kind: str, name: str | None) -> SubjectRef | None:
    """The model or dataset of a narrow scope: 404 for one that may not be seen."""
    if name is None:
        return None
    if kind == BindingScope.MODEL:
        return model(actor, name).ref
    if kind == BindingScope.DATASET:
        return dataset(actor, name).ref
    raise Unprocessable("scope_subject", field="on", scope=kind)


class Bindings(View):
    query = ("role", "person", "state", "due_within")

    @extend_schema(
        request=NewBinding, responses={200: BindingOut, 201: BindingOut, **problems(403, 404, 409, 422)}
    )
    def post(self, request: Request) -> Response:
        """Give a role to a person, a group or a service token. It counts once its event is in a checkpoint."""
        given = given_by(NewBinding, request)
        result = roles.bind_role(
            command=self.command(),
            role=given["role"],
            person=named(given["person"]) if "person" in given else None,
            group=_group(self.actor, given["group"]) if "group" in given else None,
            token=_token(self.actor, given["token"]) if "token" in given else None,
            scope=given["scope"],
            on=subject_named(self.actor, given["scope"], given.get("on")),
            recertify_every=timedelta(days=given["recertify_days"]),
        )
        row = access.dated().select_related("person", "group", "token").get(id=result.value.id)
        return Response(BindingOut(row).data, status=201 if result.created else 200)

    @extend_schema(
        parameters=[
            OpenApiParameter("role", str, enum=list(ROLES)),
            OpenApiParameter("person", str, description=PERSON),
            OpenApiParameter("state", str, enum=["in_force", "lapsed", "revoked"]),
            OpenApiParameter("due_within", int, description="lapses within so many days, if not recertified"),
        ],
        responses={200: BindingOut(many=True), **problems(400, 403)},
    )
    def get(self, request: Request) -> Response:
        _readable(self)
        rows, given, now = _bindings(self.actor), request.query_params, timezone.now()
        if "role" in given:
            rows = rows.filter(role=given["role"])
        if "person" in given:
            rows = rows.filter(person__username=given["person"])
        if (state := given.get("state")) is not None:
            conditions: dict[str, dict[str, Any]] = {
                "in_force": {"revoked_at": None, "effective_from__lte": now, "lapses_at__gt": now},
                "lapsed": {"revoked_at": None, "lapses_at__lte": now},
                "revoked": {"revoked_at__isnull": False},
            }
            if state not in conditions:
                raise BadRequest("invalid", field="state", reason=state[:50])
            rows = rows.filter(**conditions[state])
        if (days := given.get("due_within")) is not None:
            if not days.isdecimal() or len(days) > 4:
                raise BadRequest("invalid", field="due_within", reason="a number of days")
            until = now + timedelta(days=int(days))
            rows = rows.filter(revoked_at=None, lapses_at__gt=now, lapses_at__lte=until)
        return paged(self, rows, BindingOut)


class BindingDetail(View):
    @extend_schema(responses={200: BindingOut, **problems(404)})
    def get(self, request: Request, binding_id: UUID) -> Response:
        return Response(BindingOut(_binding(self.actor, binding_id)).data)


class BindingRevocation(View):
    @extend_schema(request=None, responses={200: BindingOut, **problems(403, 404)})
    def post(self, request: Request, binding_id: UUID) -> Response:
        """Take the role away, at once."""
        row = _binding(self.actor, binding_id)
        roles.unbind_role(command=self.command(), binding=row)
        return Response(BindingOut(_binding(self.actor, binding_id)).data)


class BindingRecertification(View):
    @extend_schema(request=Recertification, responses={201: BindingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, binding_id: UUID) -> Response:
        """The role is still needed, says somebody else than its holder. Without this it lapses."""
        row = _binding(self.actor, binding_id)
        given = given_by(Recertification, request)
        roles.recertify_role(command=self.command(), binding=row, **given)
        return Response(BindingOut(_binding(self.actor, binding_id)).data, status=201)


def _group(actor: Actor, name: str) -> Group:
    return found(authoriser().visible(actor, Group.objects.filter(name=name)), "group", name)


class Groups(View):
    @extend_schema(request=NewGroup, responses={200: GroupOut, 201: GroupOut, **problems(403, 422)})
    def post(self, request: Request) -> Response:
        result = roles.create_group(command=self.command(), **given_by(NewGroup, request))
        return Response(GroupOut(result.value).data, status=201 if result.created else 200)

    @extend_schema(responses={200: GroupOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        _readable(self)
        return paged(self, authoriser().visible(self.actor, Group.objects.all()), GroupOut)


class GroupDetail(View):
    @extend_schema(responses={200: GroupOut, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(GroupOut(_group(self.actor, name)).data)


class GroupMembers(View):
    @extend_schema(request=Member, responses={200: GroupOut, 201: GroupOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str) -> Response:
        """Add somebody. They hold the group's roles once this is in a checkpoint."""
        group, given = _group(self.actor, name), given_by(Member, request)
        result = roles.add_member(command=self.command(), group=group, person=named(given["person"]))
        return Response(GroupOut(group).data, status=201 if result.created else 200)


class GroupRemovals(View):
    @extend_schema(request=Member, responses={200: GroupOut, **problems(403, 404, 422)})
    def post(self, request: Request, name: str) -> Response:
        """Take somebody out, at once."""
        group, given = _group(self.actor, name), given_by(Member, request)
        person = named(given["person"], active=False)  # also somebody who has left
        roles.remove_member(command=self.command(), group=group, person=person)
        return Response(GroupOut(group).data)


def _tokens(actor: Actor) -> QuerySet[ApiToken]:
    """All for who may read about access; one's own for everybody."""
    rows = ApiToken.objects.select_related("person")
    if authoriser().may(actor, "access.read"):
        return authoriser().visible(actor, rows)
    return rows.filter(workspace_id=actor.workspace, person_id=actor.person)


def _token(actor: Actor, token_id: UUID) -> ApiToken:
    return found(_tokens(actor).filter(id=token_id), "token", str(token_id))


class Tokens(View):
    @extend_schema(request=NewToken, responses={200: IssuedOut, 201: IssuedOut, **problems(403, 409, 422)})
    def post(self, request: Request) -> Response:
        """Issue a token. Its text is in this answer only: repeating the request does not show it again."""
        given = given_by(NewToken, request)
        actor, issued = self.actor, Issued()
        own = User.objects.get(id=actor.person or actor.id)
        person = named(given["person"]) if "person" in given else own
        result = issue_token(
            command=self.command(),
            person=person,
            name=given["name"],
            kind=given["kind"],
            scopes=given["scopes"],
            lifetime=timedelta(days=given["days"]),
            issued=issued,
        )
        data = {**TokenOut(result.value).data, "token": issued.text or None}
        response = Response(data, status=200 if result.replayed else 201)
        response["Cache-Control"] = "no-store"
        return response

    @extend_schema(responses={200: TokenOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        return paged(self, _tokens(self.actor), TokenOut)


class TokenRevocation(View):
    @extend_schema(request=None, responses={200: TokenOut, **problems(403, 404)})
    def post(self, request: Request, token_id: UUID) -> Response:
        """At once. Everybody may revoke their own."""
        revoke_token(command=self.command(), token=_token(self.actor, token_id))
        return Response(TokenOut(_token(self.actor, token_id)).data)


urlpatterns = [
    path("access/bindings", Bindings.as_view()),
    path("access/bindings/<uuid:binding_id>", BindingDetail.as_view()),
    path("access/bindings/<uuid:binding_id>/revocation", BindingRevocation.as_view()),
    path("access/bindings/<uuid:binding_id>/recertification", BindingRecertification.as_view()),
    path("access/groups", Groups.as_view()),
    path("access/groups/<str:name>", GroupDetail.as_view()),
    path("access/groups/<str:name>/members", GroupMembers.as_view()),
    path("access/groups/<str:name>/removals", GroupRemovals.as_view()),
    path("access/tokens", Tokens.as_view()),
    path("access/tokens/<uuid:token_id>/revocation", TokenRevocation.as_view()),
]
