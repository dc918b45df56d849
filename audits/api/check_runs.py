"""Check runs over HTTP: ended before they have a result."""

from __future__ import annotations

from uuid import UUID

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api import serializers as shapes
from audits.api.base import View, given_by
from audits.api.schema import problems
from audits.services.check_runs import cancel_check_run
from audits.services.reasons import REASON_LIMIT


class CancellationIn(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=REASON_LIMIT)


class CheckRunCancellation(View):
    @extend_schema(
        request=CancellationIn,
        responses={200: shapes.CheckRunOut, **problems(403, 404, 409, 422)},
        description="End a check that has no result yet. It has errored then, with `check_cancelled`: requests that "
        "wait for it are refused, and whoever asks again has it computed.",
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        given = given_by(CancellationIn, request)
        run = cancel_check_run(command=self.command(), run_id=run_id, **given).value
        return Response(shapes.CheckRunOut(run).data)


urlpatterns = [path("check-runs/<uuid:run_id>/cancellation", CheckRunCancellation.as_view())]
