"""After the grant, over HTTP: placements, suspensions, rollbacks, retirement, aliases, deployments, environments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from audits import messages
from audits.actors import authoriser
from audits.api.base import View, given_by, paged
from audits.api.filters import Filter, narrowed, parameters
from audits.api.schema import ReasonOut, problems
from audits.checks.contract import Message
from audits.errors import BadRequest
from audits.models import Event
from audits.sealing import text_of
from governance import deployments, gate, selectors
from governance.api import comparison
from governance.models import Deployment, Placement, Retirement
from governance.services import deployments as recording
from governance.services import retirements, rollbacks, suspensions
from governance.services.standing import version_for
from governance.states import DeploymentMode, PlacementState
from registry.models import ModelVersion
from registry.selectors import found, model_version
from registry.states import VersionState

# Shapes


class Reasoned(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=4000)


class NewRollback(serializers.Serializer[None]):
    environment = serializers.CharField(max_length=60)
    reason = serializers.CharField(max_length=4000)
    to = serializers.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text="a version; default: the last one live there",
    )


class NewRetirement(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=4000)
    successor = serializers.CharField(
        max_length=300,
        required=False,
        default="",
        allow_blank=True,
        help_text="name@n of what to use instead",
    )


class NewDeployment(serializers.Serializer[None]):
    environment = serializers.CharField(max_length=60)
    mode = serializers.ChoiceField(choices=DeploymentMode.choices)
    share = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1, help_text="of the traffic"
    )
    location = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)
    since = serializers.DateTimeField(required=False, help_text="default now")


class DeploymentEnd(serializers.Serializer[None]):
    until = serializers.DateTimeField(required=False, help_text="default now")


class PlacementOut(serializers.Serializer[None]):
    id = serializers.UUIDField()
    model = serializers.CharField()
    n = serializers.IntegerField()
    environment = serializers.CharField()
    state = serializers.ChoiceField(choices=PlacementState.choices)
    allowed = serializers.BooleanField(help_text="what the gate says of this version there, now")
    reasons = ReasonOut(many=True)
    effective_at = serializers.DateTimeField(allow_null=True)
    promotion = serializers.UUIDField()
    created_at = serializers.DateTimeField()


class StandingOut(serializers.Serializer[None]):
    model = serializers.CharField()
    n = serializers.IntegerField()
    state = serializers.ChoiceField(choices=VersionState.choices)
    archived = serializers.BooleanField(help_text="retired: kept as a record only")
    placements = PlacementOut(many=True)


class RetirementOut(serializers.Serializer[None]):
    model = serializers.CharField()
    n = serializers.IntegerField()
    state = serializers.ChoiceField(choices=VersionState.choices)
    reason = serializers.CharField(allow_blank=True)
    successor = serializers.CharField(allow_null=True)
    retired_at = serializers.DateTimeField()


class DeploymentOut(serializers.Serializer[None]):
    id = serializers.UUIDField()
    model = serializers.CharField()
    n = serializers.IntegerField()
    environment = serializers.CharField()
    mode = serializers.ChoiceField(choices=DeploymentMode.choices)
    share = serializers.FloatField(allow_null=True)
    location = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    allowed = serializers.BooleanField(help_text="when it was recorded")
    basis = ReasonOut(help_text="why, or why not")
    not_allowed = serializers.BooleanField(help_text="it still runs, and it may not: as of now")
    basis_now = ReasonOut(allow_null=True, help_text="null once it has ended")


def _reason(data: dict[str, Any]) -> dict[str, Any]:
    return messages.as_json(Message(data["code"], data.get("params") or {}))


def _placement(row: Placement) -> dict[str, Any]:
    standing = gate.of_placement(row)
    return {
        "id": row.id,
        "model": row.version.model.name,
        "n": row.version.n,
        "environment": row.environment.name,
        "state": row.state,
        "allowed": standing.allowed,
        "reasons": [] if standing.allowed else [messages.as_json(standing.reason)],
        "effective_at": standing.effective_at,
        "promotion": row.promotion_id,
        "created_at": row.created_at,
    }


def _standing(version: ModelVersion) -> dict[str, Any]:
    rows = Placement.objects.filter(version=version).order_by("environment__position", "id")
    related = rows.select_related("version__model", "environment", "promotion", "successor")
    return {
        "model": version.model.name,
        "n": version.n,
        "state": version.state,
        "archived": version.state == VersionState.RETIRED,
        "placements": [_placement(row) for row in related],
    }


def _retirement(row: Retirement) -> dict[str, Any]:
    return {
        "model": row.version.model.name,
        "n": row.version.n,
        "state": row.version.state,
        "reason": text_of(row.event_id, "reason"),
        "successor": row.successor.label if row.successor is not None else None,
        "retired_at": Event.objects.get(id=row.event_id).at,
    }


def _deployment(row: Deployment) -> dict[str, Any]:
    now = deployments.standing_of(row.version, row.environment, row.mode) if row.until is None else None
    return {
        "id": row.id,
        "model": row.version.model.name,
        "n": row.version.n,
        "environment": row.environment.name,
        "mode": row.mode,
        "share": row.share,
        "location": row.location,
        "since": row.since,
        "until": row.until,
        "allowed": row.allowed,
        "basis": _reason(row.basis),
        "not_allowed": now is not None and not now[0],
        "basis_now": messages.as_json(now[1]) if now is not None else None,
    }


class _DeploymentShape(DeploymentOut):
    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(_deployment(instance))  # type: ignore[arg-type]


def _answer(shape: type[Serializer[Any]], data: dict[str, Any], status: int = 200) -> Response:
    return Response(shape(data).data, status=status)


# Placements and versions


class VersionPlacements(View):
    @extend_schema(responses={200: StandingOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        """Where a version stands, and what the gate says of it there, now."""
        return _answer(StandingOut, _standing(model_version(self.actor, name, n)))


def _again(view: View, placement_id: UUID) -> dict[str, Any]:
    rows = authoriser().visible(view.actor, Placement.objects.filter(id=placement_id))
    return _placement(rows.select_related("version__model", "environment", "promotion", "successor").get())


class PlacementSuspension(View):
    @extend_schema(request=Reasoned, responses={200: PlacementOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, placement_id: UUID) -> Response:
        """Stop it there. Binds at once."""
        suspensions.suspend_placement(
            command=self.command(), placement_id=placement_id, **given_by(Reasoned, request)
        )
        return _answer(PlacementOut, _again(self, placement_id))


class PlacementReinstatement(View):
    @extend_schema(request=Reasoned, responses={200: PlacementOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, placement_id: UUID) -> Response:
        """Let it go on: by somebody else than who suspended it; counts once in a signed checkpoint."""
        suspensions.reinstate_placement(
            command=self.command(), placement_id=placement_id, **given_by(Reasoned, request)
        )
        return _answer(PlacementOut, _again(self, placement_id))


class PlacementWithdrawal(View):
    @extend_schema(request=Reasoned, responses={200: PlacementOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, placement_id: UUID) -> Response:
        """Take it out of the environment for good. Binds at once."""
        suspensions.withdraw_placement(
            command=self.command(), placement_id=placement_id, **given_by(Reasoned, request)
        )
        return _answer(PlacementOut, _again(self, placement_id))


class VersionSuspension(View):
    @extend_schema(request=Reasoned, responses={200: StandingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        """Stop a version everywhere. Binds at once."""
        version = model_version(self.actor, name, n)
        suspensions.suspend_version(
            command=self.command(), version_id=version.id, **given_by(Reasoned, request)
        )
        return _answer(StandingOut, _standing(model_version(self.actor, name, n)))


class VersionReinstatement(View):
    @extend_schema(request=Reasoned, responses={200: StandingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        """Let it go on: by somebody else than who suspended it; counts once in a signed checkpoint."""
        version = model_version(self.actor, name, n)
        suspensions.reinstate_version(
            command=self.command(), version_id=version.id, **given_by(Reasoned, request)
        )
        return _answer(StandingOut, _standing(model_version(self.actor, name, n)))


class Rollbacks(View):
    @extend_schema(request=NewRollback, responses={201: PlacementOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str) -> Response:
        """Back to the version that was live before. Until the answer's `allowed` is true, nothing is allowed there."""
        result = rollbacks.roll_back(command=self.command(), model=name, **given_by(NewRollback, request))
        return _answer(PlacementOut, _again(self, result.value.id), 201)


class VersionRetirement(View):
    @extend_schema(request=NewRetirement, responses={201: RetirementOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        """The end of a version: its placements are withdrawn, its requests end, its aliases are taken away."""
        version = model_version(self.actor, name, n)
        result = retirements.retire_version(
            command=self.command(), version_id=version.id, **given_by(NewRetirement, request)
        )
        return _answer(RetirementOut, _retirement(_retired(result.value.version_id)), 201)

    @extend_schema(responses={200: RetirementOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        return _answer(RetirementOut, _retirement(_retired(model_version(self.actor, name, n).id)))


def _retired(version_id: UUID) -> Retirement:
    rows = Retirement.objects.select_related("version__model", "successor__model")
    return found(rows.filter(version_id=version_id), "retirement", str(version_id))


# Deployments


class VersionDeployments(View):
    @extend_schema(
        request=NewDeployment,
        responses={200: DeploymentOut, 201: DeploymentOut, **problems(403, 404, 409, 422)},
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        """Say what runs where. It is recorded also if it may not, and flagged: `allowed`, `not_allowed`, `basis`."""
        result = recording.record_deployment(
            command=self.command(), model=name, n=n, **given_by(NewDeployment, request)
        )
        return _answer(DeploymentOut, _deployment(_deployed(result.value.id)), 201 if result.created else 200)

    @extend_schema(responses={200: DeploymentOut(many=True), **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        version = version_for(self.actor, name, n, "deployment.record")
        rows = Deployment.objects.filter(version=version)
        return paged(self, rows.select_related("version__model", "environment"), _DeploymentShape)


DEPLOYMENTS = {"model": Filter("version__model__name"), "environment": Filter("environment__name")}


class Deployments(View):
    query = ("running", *DEPLOYMENTS)

    @extend_schema(
        parameters=[
            *parameters(DEPLOYMENTS),
            OpenApiParameter("running", str, enum=["true", "false"], description="not ended yet, or ended"),
        ],
        responses={200: DeploymentOut(many=True), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """What is said to run where, the newest record first."""
        rows = narrowed(self, selectors.deployments(self.actor), DEPLOYMENTS)
        if running := request.query_params.get("running"):
            if running not in ("true", "false"):
                raise BadRequest("invalid", field="running", reason=running[:50])
            rows = rows.filter(until__isnull=running == "true")
        return paged(self, rows, _DeploymentShape)


class DeploymentEnding(View):
    @extend_schema(request=DeploymentEnd, responses={200: DeploymentOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, deployment_id: UUID) -> Response:
        result = recording.end_deployment(
            command=self.command(), deployment_id=deployment_id, **given_by(DeploymentEnd, request)
        )
        return _answer(DeploymentOut, _deployment(_deployed(result.value.id)))


def _deployed(deployment_id: UUID) -> Deployment:
    return Deployment.objects.select_related("version__model", "environment").get(id=deployment_id)


VERSION = "models/<str:name>/versions/<int:n>"
urlpatterns = [
    *comparison.urlpatterns,
    path(f"{VERSION}/placements", VersionPlacements.as_view()),
    path(f"{VERSION}/suspension", VersionSuspension.as_view()),
    path(f"{VERSION}/reinstatement", VersionReinstatement.as_view()),
    path(f"{VERSION}/retirement", VersionRetirement.as_view()),
    path(f"{VERSION}/deployments", VersionDeployments.as_view()),
    path("placements/<uuid:placement_id>/suspension", PlacementSuspension.as_view()),
    path("placements/<uuid:placement_id>/reinstatement", PlacementReinstatement.as_view()),
    path("placements/<uuid:placement_id>/withdrawal", PlacementWithdrawal.as_view()),
    path("models/<str:name>/rollbacks", Rollbacks.as_view()),
    path("deployments", Deployments.as_view()),
    path("deployments/<uuid:deployment_id>/end", DeploymentEnding.as_view()),
]
