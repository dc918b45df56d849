"""Explanations of one record, over HTTP: asked for, waited for, drawn."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.actors import authoriser
from audits.api.base import View, paged, wait_for, wait_seconds
from audits.api.schema import WAIT, ReasonOut, problems
from audits.api.views import Plain
from audits.checks.contract import Message
from audits.errors import BadRequest, Conflict, NotFound
from audits.models import Explanation
from audits.plots import plots_for
from audits.services.explanations import digest_of_record
from audits.states import CheckRunState
from governance.console.wording import number
from governance.services.explanations import request_explanation
from registry.selectors import found, model_version


class NewExplanation(serializers.Serializer[None]):
    record = serializers.DictField(
        help_text="{column: value}: every input of the model, null where it is missing"
    )
    lime = serializers.BooleanField(
        default=False, help_text="a linear second opinion beside the contributions"
    )


class ContributionOut(serializers.Serializer[None]):
    feature = serializers.CharField()
    phi = serializers.FloatField()


class WeightOut(serializers.Serializer[None]):
    feature = serializers.CharField()
    weight = serializers.FloatField()


class LimeOut(serializers.Serializer[None]):
    weights = WeightOut(many=True)
    intercept = serializers.FloatField()
    fitted = serializers.FloatField(help_text="what the linear model says of the record")
    r2 = serializers.FloatField(allow_null=True, help_text="how well it fits around the record")
    samples = serializers.IntegerField()
    kernel_width = serializers.FloatField()


class ExplanationOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=CheckRunState.choices)
    version = serializers.CharField(help_text="name@n")
    record_digest = serializers.CharField(help_text="keyed; another one in every explanation")
    requested_by = serializers.UUIDField()
    queued_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    prediction = serializers.JSONField(allow_null=True, help_text="label, or number of a regression")
    score = serializers.FloatField(allow_null=True, help_text="probability of the label in `explains`")
    explains = serializers.CharField(allow_null=True, help_text="the label the contributions speak for")
    favourable = serializers.BooleanField(allow_null=True)
    route = serializers.CharField(allow_null=True)
    output_space = serializers.CharField(allow_null=True, help_text="unit of base_value, output and phi")
    estimand = serializers.CharField(allow_null=True)
    base_value = serializers.FloatField(allow_null=True)
    output = serializers.FloatField(allow_null=True, help_text="base_value plus all phi")
    contributions = ContributionOut(many=True)
    lime = LimeOut(allow_null=True)
    notes = ReasonOut(many=True)
    error = ReasonOut(allow_null=True)
    result_digest = serializers.CharField(allow_blank=True)
    confinement_level = serializers.IntegerField(allow_null=True, help_text="what held when it was computed")


class ExplanationMatch(serializers.Serializer[None]):
    record = serializers.DictField()


class ExplanationMatchOut(serializers.Serializer[Any]):
    matches = serializers.BooleanField()


def _said(message: dict[str, Any]) -> dict[str, Any]:
    return messages.as_json(Message(message["code"], message["params"]))


def shaped(row: Explanation) -> dict[str, Any]:
    result = row.result or {}
    tables = {table["id"]: table for table in result.get("tables", [])}
    local, lime = tables.get("shap_local"), tables.get("lime_local")
    params = local["params"] if local else {}
    confinement = row.run_environment.get("confinement") or {}
    return {
        "id": row.id,
        "state": row.state,
        "version": row.subject_label,
        "record_digest": row.record_digest,
        "requested_by": row.requested_by,
        "queued_at": row.queued_at,
        "finished_at": row.finished_at,
        **{
            name: params.get(name)
            for name in (
                "prediction", "score", "explains", "favourable", "route", "output_space", "estimand", "base_value",
                "output",
            )
        },
        "contributions": [{"feature": name, "phi": phi} for name, phi in (local["rows"] if local else [])],
        "lime": None
        if lime is None
        else {
            **{key: lime["params"][key] for key in ("intercept", "fitted", "r2", "samples", "kernel_width")},
            "weights": [{"feature": name, "weight": weight} for name, weight in lime["rows"]],
        },
        "notes": [_said(note) for note in result.get("notes", [])],
        "error": _said(result["error"]) if result.get("error") else None,
        "result_digest": row.result_digest,
        "confinement_level": confinement.get("level"),
    }  # fmt: skip


class ExplanationShape(ExplanationOut):
    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(shaped(instance))


def _rows(view: View) -> QuerySet[Explanation]:
    return authoriser().visible(view.actor, Explanation.objects.all())


def _one(view: View, explanation_id: UUID) -> Explanation:
    return found(_rows(view).filter(id=explanation_id), "explanation", str(explanation_id))


class VersionExplanations(View):
    @extend_schema(
        request=NewExplanation,
        responses={202: ExplanationShape, **problems(400, 403, 404, 409, 422)},
        description="Explain one record. The record is kept encrypted until the answer is there, then erased.",
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        given = NewExplanation(data=request.data)
        given.is_valid(raise_exception=True)
        data = dict(given.validated_data)
        # what a repeated request is known by must not be a plain digest of somebody's record
        body = {"record": digest_of_record(version.id, data["record"]), "lime": data["lime"]}
        row = request_explanation(
            command=self.command(body=body), version_id=version.id, given=data["record"], lime=data["lime"]
        ).value
        response = Response(ExplanationShape(row).data, status=202)
        response["Location"] = f"/api/v1/explanations/{row.id}"
        return response

    @extend_schema(responses={200: ExplanationShape(many=True), **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        rows = _rows(self).filter(subject_kind="model_version", subject_id=version.id)
        return paged(self, rows, ExplanationShape)


class ExplanationDetail(View):
    query = ("wait",)

    @extend_schema(parameters=[WAIT], responses={200: ExplanationShape, **problems(404)})
    def get(self, request: Request, explanation_id: UUID) -> Response:
        row = wait_for(lambda: _one(self, explanation_id), lambda one: one.finished, wait_seconds(request))
        return Response(ExplanationShape(row).data)


class ExplanationPlot(Plain):
    query = ("kind",)

    @extend_schema(
        parameters=[OpenApiParameter("kind", str, enum=["shap", "lime"], description="default shap")],
        responses={(200, "image/svg+xml"): OpenApiTypes.STR, **problems(400, 404, 409)},
        description="The waterfall of the contributions, or the weights of the second opinion, as SVG.",
    )
    def get(self, request: Request, explanation_id: UUID) -> HttpResponse:
        row = _one(self, explanation_id)
        kind = request.query_params.get("kind", "shap")
        if kind not in ("shap", "lime"):
            raise BadRequest("invalid", field="kind", reason="shap or lime")
        if row.state != CheckRunState.COMPLETED:
            raise Conflict("explanation_not_done", state=row.state)
        tables = {table["id"]: table for table in (row.result or {})["tables"]}
        plots = plots_for(
            [tables[name] for name in (f"{kind}_local",) if name in tables],
            labels=gettext,
            number=number,
            sensitive=tables.get("shap_local", {}).get("params", {}).get("sensitive") or (),
        )
        if not plots:
            raise NotFound("not_found", kind="plot", name=kind)
        return HttpResponse(plots[0].svg, content_type="image/svg+xml; charset=utf-8")


class ExplanationIdentity(View):
    @extend_schema(
        request=ExplanationMatch,
        responses={200: ExplanationMatchOut, **problems(400, 403, 404)},
        description="Whether an explanation is about this record. Nothing of the record is kept.",
    )
    def post(self, request: Request, explanation_id: UUID) -> Response:
        row = _one(self, explanation_id)
        given = ExplanationMatch(data=request.data)
        given.is_valid(raise_exception=True)
        same = digest_of_record(row.id, given.validated_data["record"]) == row.record_digest
        return Response(ExplanationMatchOut({"matches": same}).data)


urlpatterns = [
    path("models/<str:name>/versions/<int:n>/explanations", VersionExplanations.as_view()),
    path("explanations/<uuid:explanation_id>", ExplanationDetail.as_view()),
    path("explanations/<uuid:explanation_id>/plot", ExplanationPlot.as_view()),
    path("explanations/<uuid:explanation_id>/matches", ExplanationIdentity.as_view()),
]
