"""Names and places over HTTP: the aliases of a model, and the environments of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import Page, View, given_by, paged, tagged
from audits.api.schema import problems
from audits.errors import NotFound
from governance import selectors
from governance.models import Alias, Environment
from governance.services import aliases, environments
from registry.selectors import found, model
from registry.states import VersionState


class NewAlias(serializers.Serializer[None]):
    n = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class NewEnvironment(serializers.Serializer[None]):
    name = serializers.CharField(max_length=200)
    exclusive = serializers.BooleanField(default=False, help_text="at most one live version of a model")
    position = serializers.IntegerField(
        required=False, min_value=0, max_value=1000, help_text="0 is the first; default last"
    )


class EnvironmentChange(serializers.Serializer[None]):
    exclusive = serializers.BooleanField(required=False)
    position = serializers.IntegerField(required=False, min_value=0, max_value=1000)


class AliasOut(serializers.Serializer[None]):
    alias = serializers.CharField()
    model = serializers.CharField()
    n = serializers.IntegerField()
    state = serializers.ChoiceField(choices=VersionState.choices)
    manifest_digest = serializers.CharField()
    artifact_digest = serializers.CharField()


class EnvironmentOut(serializers.ModelSerializer[Environment]):
    class Meta:
        model = Environment
        fields = ["name", "position", "exclusive"]


def _alias(row: Alias) -> dict[str, Any]:
    version = row.version
    if version is None:
        raise NotFound("not_found", kind="alias", name=row.ref.label)
    return {
        "alias": row.name,
        "model": row.model.name,
        "n": version.n,
        "state": version.state,
        "manifest_digest": version.manifest_digest,
        "artifact_digest": version.artifact_digest,
    }


class _AliasShape(AliasOut):
    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(_alias(instance))  # type: ignore[arg-type]


# Aliases


class Aliases(View):
    @extend_schema(responses={200: AliasOut(many=True), **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        rows = Alias.objects.filter(model=model(self.actor, name), version__isnull=False)
        return paged(self, rows.select_related("model", "version"), _AliasShape)


class AliasDetail(View):
    @extend_schema(responses={200: AliasOut, **problems(404)})
    def get(self, request: Request, name: str, alias: str) -> Response:
        """The version a name stands for, now."""
        row = _alias_row(self, name, alias)
        return tagged(row.ref, lambda: _alias(_alias_row(self, name, alias)))

    @extend_schema(
        request=NewAlias, responses={200: AliasOut, 201: AliasOut, **problems(403, 404, 409, 412, 422)}
    )
    def put(self, request: Request, name: str, alias: str) -> Response:
        """Set it, or move it to another version."""
        model(self.actor, name)
        result = aliases.set_alias(
            command=self.command(updates="alias"), model=name, alias=alias, **given_by(NewAlias, request)
        )
        shown: Callable[[], Any] = lambda: _alias(_alias_row(self, name, alias))  # noqa: E731
        return tagged(result.value.ref, shown, 201 if result.created else 200)

    @extend_schema(responses={204: None, **problems(403, 404, 412)})
    def delete(self, request: Request, name: str, alias: str) -> Response:
        aliases.remove_alias(command=self.command(updates="alias"), model=name, alias=alias)
        return Response(status=204)


def _alias_row(view: View, name: str, alias: str) -> Alias:
    rows = Alias.objects.filter(model=model(view.actor, name), name=alias, version__isnull=False)
    return found(rows.select_related("model", "version"), "alias", f"{name}@{alias}"[:300])


# Environments


class _Way(Page):
    """From the first step to the last, or with `?order=last` the other way round."""

    ordering = "position"
    orders = ("first", "last")


class Environments(View):
    pagination_class = _Way

    @extend_schema(responses={200: EnvironmentOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        """Every step of the way, the first one first. There are few: one page holds them all."""
        return paged(self, selectors.environments(self.actor), EnvironmentOut)

    @extend_schema(
        request=NewEnvironment,
        responses={200: EnvironmentOut, 201: EnvironmentOut, **problems(403, 409, 422)},
    )
    def post(self, request: Request) -> Response:
        result = environments.add_environment(command=self.command(), **given_by(NewEnvironment, request))
        return Response(EnvironmentOut(result.value).data, status=201 if result.created else 200)


class EnvironmentDetail(View):
    @extend_schema(responses={200: EnvironmentOut, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        """One step of the way. Its ETag is that of the whole order: a place means nothing by itself."""
        rows = selectors.environments(self.actor).filter(name=name)
        row = found(rows, "environment", name)
        return tagged(row.workspace.ref, lambda: EnvironmentOut(found(rows, "environment", name)).data)

    @extend_schema(
        request=EnvironmentChange, responses={200: EnvironmentOut, **problems(403, 404, 409, 412, 422)}
    )
    def patch(self, request: Request, name: str) -> Response:
        """Its place, or whether it is exclusive: before anything was asked for there."""
        found(selectors.environments(self.actor).filter(name=name), "environment", name)
        result = environments.change_environment(
            command=self.command(updates="workspace"), name=name, **given_by(EnvironmentChange, request)
        )
        return tagged(result.value.workspace.ref, lambda: EnvironmentOut(result.value).data)


urlpatterns = [
    path("environments", Environments.as_view()),
    path("environments/<str:name>", EnvironmentDetail.as_view()),
    path("models/<str:name>/aliases", Aliases.as_view()),
    path("models/<str:name>/aliases/<str:alias>", AliasDetail.as_view()),
]
