"""Check runs computed again, over HTTP: asked for, waited for, told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.actors import authoriser
from audits.api.base import View, paged, wait_for, wait_seconds
from audits.api.schema import WAIT, ReasonOut, problems
from audits.checks.contract import Message
from audits.errors import NotFound
from audits.models import CheckRun, Reproduction, ReproductionOutcome
from audits.services.reproductions import request_reproduction


class DifferenceOut(serializers.Serializer[None]):
    where = serializers.CharField(help_text="the member of the result")
    recorded = serializers.JSONField(allow_null=True)
    computed = serializers.JSONField(allow_null=True)


class ReproductionOut(serializers.ModelSerializer[Reproduction]):
    run = serializers.UUIDField(source="run_id")
    check_name = serializers.CharField(source="run.check_slug")
    check_version = serializers.CharField(source="run.check_version")
    recorded_digest = serializers.CharField(source="run.result_digest")
    computed_digest = serializers.CharField(source="result_digest", allow_blank=True)
    outcome = serializers.ChoiceField(
        choices=[*ReproductionOutcome.values, ""], help_text="empty until it is finished"
    )
    matches = serializers.SerializerMethodField(
        help_text="identical or within tolerance; null where nothing can be said (yet)"
    )
    tolerance = serializers.FloatField(help_text="relative to the larger of 1 and the number")
    differences = DifferenceOut(many=True)
    difference_count = serializers.IntegerField(help_text="of which at most 100 are listed")
    error = serializers.SerializerMethodField()

    class Meta:
        model = Reproduction
        fields = [
            "id", "run", "check_name", "check_version", "state", "outcome", "matches", "recorded_digest",
            "computed_digest", "tolerance", "differences", "difference_count", "error", "run_environment",
            "requested_by", "queued_at", "finished_at",
        ]  # fmt: skip

    def get_matches(self, row: Reproduction) -> bool | None:
        if row.outcome in ("", ReproductionOutcome.ERRORED):
            return None
        return row.outcome != ReproductionOutcome.DIFFERS

    @extend_schema_field(ReasonOut(allow_null=True))
    def get_error(self, row: Reproduction) -> dict[str, Any] | None:
        return messages.as_json(Message(row.error["code"], row.error["params"])) if row.error else None


def _run(view: View, run_id: UUID) -> CheckRun:
    run = authoriser().visible(view.actor, CheckRun.objects.all()).filter(id=run_id).first()
    if run is None:
        raise NotFound("not_found", kind="check run", name=str(run_id))
    return run


def _rows(view: View) -> QuerySet[Reproduction]:
    return authoriser().visible(view.actor, Reproduction.objects.select_related("run"))


class CheckRunReproductions(View):
    @extend_schema(
        request=None,
        responses={202: ReproductionOut, **problems(403, 404, 409, 422)},
        description="Compute a finished check again, on the same input, in the confined worker.",
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        run = _run(self, run_id)
        row = request_reproduction(command=self.command(), run_id=run.id).value
        response = Response(ReproductionOut(row).data, status=202)
        response["Location"] = f"/api/v1/reproductions/{row.id}"
        return response

    @extend_schema(responses={200: ReproductionOut(many=True), **problems(404)})
    def get(self, request: Request, run_id: UUID) -> Response:
        return paged(self, _rows(self).filter(run=_run(self, run_id)), ReproductionOut)


class ReproductionDetail(View):
    query = ("wait",)

    @extend_schema(parameters=[WAIT], responses={200: ReproductionOut, **problems(404)})
    def get(self, request: Request, reproduction_id: UUID) -> Response:
        def one() -> Reproduction:
            row = _rows(self).filter(id=reproduction_id).first()
            if row is None:
                raise NotFound("not_found", kind="reproduction", name=str(reproduction_id))
            return row

        row = wait_for(one, lambda found: found.finished, wait_seconds(request))
        return Response(ReproductionOut(row).data)


urlpatterns = [
    path("check-runs/<uuid:run_id>/reproductions", CheckRunReproductions.as_view()),
    path("reproductions/<uuid:reproduction_id>", ReproductionDetail.as_view()),
]
