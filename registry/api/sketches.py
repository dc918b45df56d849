"""The reference sketch of a dataset version over HTTP: asked for, waited for, fetched."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import blobs, messages
from audits.api.base import View, wait_for, wait_seconds
from audits.api.schema import WAIT, ReasonOut, problems
from audits.api.views import Plain
from audits.checks.contract import Message
from registry.models import ReferenceSketch
from registry.selectors import reference_sketch
from registry.services.sketches import request_sketch


class ReferenceSketchOut(serializers.ModelSerializer[ReferenceSketch]):
    version = serializers.CharField(source="version.label")
    k = serializers.IntegerField(help_text="no cell holds fewer rows, but none")
    digest = serializers.CharField(allow_blank=True, help_text="empty until it is made")
    columns = serializers.ListField(child=serializers.CharField())
    attributes = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="sensitive columns with the groups that it tells of",
    )
    error = serializers.SerializerMethodField(help_text="why it could not be made; it may be asked for again")

    class Meta:
        model = ReferenceSketch
        fields = [
            "id", "version", "state", "k", "format", "digest", "size", "rows", "columns", "attributes", "error",
            "run_environment", "requested_by", "queued_at", "finished_at",
        ]  # fmt: skip

    @extend_schema_field(ReasonOut(allow_null=True))
    def get_error(self, row: ReferenceSketch) -> dict[str, Any] | None:
        return messages.as_json(Message(row.error["code"], row.error["params"])) if row.error else None


class Sketch(View):
    query = ("wait",)

    @extend_schema(
        request=None, responses={200: ReferenceSketchOut, 202: ReferenceSketchOut, **problems(403, 404)}
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        """Have the reference sketch made, in the confined worker. What is there, or on its way, is returned (200)."""
        result = request_sketch(command=self.command(), name=name, n=n)
        return Response(ReferenceSketchOut(result.value).data, status=202 if result.created else 200)

    @extend_schema(parameters=[WAIT], responses={200: ReferenceSketchOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        """The newest one, made or on its way; 404 until it is asked for."""

        def one() -> ReferenceSketch:
            return reference_sketch(self.actor, name, n)

        row = wait_for(one, lambda found: found.finished, wait_seconds(request))
        return Response(ReferenceSketchOut(row).data)


class SketchContent(Plain):
    @extend_schema(responses={(200, "application/json"): OpenApiTypes.OBJECT, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> HttpResponse:
        """The sketch itself (docs/evidence.md), the bytes that have its digest; 404 until it is made."""
        row = reference_sketch(self.actor, name, n, made=True)
        with blobs.opened(row.workspace_id, row.digest) as file:
            return HttpResponse(file.read(), content_type="application/json")
