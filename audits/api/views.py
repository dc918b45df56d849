"""The audit package over HTTP: search the trail, export it, prove things about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audits import blobs, messages, trail
from audits.actors import authoriser
from audits.api import serializers as shapes
from audits.api.base import Page, View, paged, wait_for, wait_seconds
from audits.api.schema import WAIT, problems
from audits.errors import BadRequest, Conflict, Forbidden, LedgerUnavailable, NotFound
from audits.ledger import pruned
from audits.ledger.receipts import receipt_for
from audits.models import AuditExport, Checkpoint, CheckRun
from audits.services.exports import request_export
from audits.states import ExportForm, ExportState


class TrailPage(Page):
    ordering = ("-at", "-id")  # type: ignore[assignment]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """With what is not found because it was pruned, and in which export it is."""
        whole: dict[str, Any] = super().get_paginated_response_schema(schema)
        whole["properties"]["pruned"] = {
            "type": "array",
            "description": "of the time asked about: what was pruned, and in which export it is",
            "items": {"$ref": "#/components/schemas/ReasonOut"},
        }
        return whole


class Events(View):
    query = trail.FIELDS

    @extend_schema(
        parameters=[
            OpenApiParameter("verb", str, many=True, description="may be repeated"),
            OpenApiParameter("outcome", str, enum=["done", "refused"]),
            *(
                OpenApiParameter(name, OpenApiTypes.UUID)
                for name in ("actor", "subject_id", "correlation_id", "request_id")
            ),
            OpenApiParameter("subject_kind", str),
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="from then on"),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="before then"),
            OpenApiParameter(
                "q", str, description="words that all occur in the sentence, or in what people wrote"
            ),
        ],
        responses={200: shapes.EventOut(many=True), **problems(400, 403)},
        description="The trail of the workspace, the newest first.",
    )
    def get(self, request: Request) -> Response:
        if not authoriser().anywhere(self.actor, "audit.read"):
            raise Forbidden("not_permitted", action="audit.read")
        given: dict[str, Any] = {
            name: request.query_params[name] for name in trail.FIELDS if name in request.query_params
        }
        if "verb" in given:
            given["verb"] = request.query_params.getlist("verb")
        wanted = trail.TrailQuery.parse(given)
        paginator = TrailPage()
        rows = (
            paginator.paginate_queryset(
                wanted.apply(trail.events(self.actor), self.actor.workspace), request, view=self
            )
            or []
        )
        names = trail.names_of(self.actor.workspace, {row.actor_id for row in rows})
        shape = shapes.EventOut(rows, many=True, context={"names": names})
        response = paginator.get_paginated_response(shape.data)
        told = pruned.notes(self.actor.workspace, since=wanted.since)
        response.data["pruned"] = [messages.as_json(note) for note in told]
        return response


class Exports(View):
    @extend_schema(
        request={"application/json": shapes.NEW_EXPORT},
        responses={202: shapes.ExportOut, **problems(400, 403)},
        description="Ask for an export of the workspace: verifiable (a tar of the folder that the verifier reads), or "
        "for people (a zip of CSV or JSON Lines and a statement of what it holds). With words to search for (`q`) a "
        "verifiable export cannot prove that nothing was left out, and says so.",
    )
    def post(self, request: Request) -> Response:
        given = request.data if isinstance(request.data, dict) else {"": None}
        parameters = {"form", "language", "time_zone"}
        if unknown := set(given) - {"filter", *parameters}:
            raise BadRequest("invalid", field=min(unknown), reason="known: filter, form, language, time_zone")
        chosen: object = given.get("filter", {})
        if not isinstance(chosen, dict):
            raise BadRequest("invalid", field="filter", reason="an object")
        wanted = trail.TrailQuery.parse(chosen, trail.EXPORTED)
        told: dict[str, Any] = {name: given[name] for name in parameters if name in given}
        for name, value in told.items():
            if not isinstance(value, str):
                raise BadRequest("invalid", field=name, reason="a text")
        export = request_export(command=self.command(), query=wanted, **told).value
        response = Response(shapes.ExportOut(export).data, status=202)
        response["Location"] = f"/api/v1/audit/exports/{export.id}"
        return response

    @extend_schema(responses={200: shapes.ExportOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        return paged(self, _exports(self), shapes.ExportOut)


def _exports(view: View) -> QuerySet[AuditExport]:
    return authoriser().visible(view.actor, AuditExport.objects.all())


def _export(view: View, export_id: UUID) -> AuditExport:
    row: AuditExport | None = _exports(view).filter(id=export_id).first()
    if row is None:
        raise NotFound("not_found", kind="export", name=str(export_id))
    return row


class ExportDetail(View):
    query = ("wait",)

    @extend_schema(parameters=[WAIT], responses={200: shapes.ExportOut, **problems(404)})
    def get(self, request: Request, export_id: UUID) -> Response:
        row = wait_for(
            lambda: _export(self, export_id), lambda export: export.finished, wait_seconds(request)
        )
        return Response(shapes.ExportOut(row).data)


class Plain(View):
    """Answers in one form only, whatever Accept says: the form is the standard's, not ours to convert."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)


class ExportContent(Plain):
    @extend_schema(
        responses={
            (200, "application/x-tar"): OpenApiTypes.BINARY,
            (200, "application/zip"): OpenApiTypes.BINARY,
            **problems(404, 409),
        },
        description="A verifiable export as a tar: unpack it into an empty folder and run the verifier on that. One "
        "for people as a zip.",
    )
    def get(self, request: Request, export_id: UUID) -> StreamingHttpResponse:
        row = _export(self, export_id)
        if row.state != ExportState.DONE:
            raise Conflict("export_not_done", state=row.state)
        stack = ExitStack()
        try:
            file = stack.enter_context(blobs.opened(row.workspace_id, row.blob_digest))
        except (OSError, ValueError) as error:
            raise LedgerUnavailable("export_content_lost") from error
        kind, ending = ("x-tar", "tar") if row.form == ExportForm.BUNDLE else ("zip", "zip")
        response = StreamingHttpResponse(_chunks(stack, file), content_type=f"application/{kind}")
        response["Content-Length"] = str(row.blob_size)
        response["Content-Disposition"] = f'attachment; filename="crivo-export-{row.id}.{ending}"'
        response["ETag"] = f'"{row.blob_digest.removeprefix("sha256:")}"'
        return response


def _chunks(stack: ExitStack, file: IO[bytes]) -> Iterator[bytes]:
    with stack:
        while chunk := file.read(blobs.CHUNK):
            yield chunk


class CheckpointDetail(Plain):
    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR, **problems(404)},
        description="The newest signed checkpoint (C2SP tlog-checkpoint). Keep it: later logs must agree with it.",
    )
    def get(self, request: Request) -> HttpResponse:
        newest = Checkpoint.objects.order_by("-size").first()
        if newest is None:
            raise NotFound("nothing_published")
        return HttpResponse(newest.note, content_type="text/plain; charset=utf-8")


class VerifierKeyDetail(Plain):
    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR, **problems(404)},
        description="The key that checkpoints are signed with (C2SP vkey). Compare it with a copy from elsewhere.",
    )
    def get(self, request: Request) -> HttpResponse:
        try:
            text = (Path(settings.CRIVO_PUBLISH) / "vkey").read_text()
        except OSError as error:
            raise NotFound("nothing_published") from error
        return HttpResponse(text, content_type="text/plain; charset=utf-8")


class Proof(Plain):
    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR, **problems(403, 404)},
        description="Proof (C2SP tlog-proof) that the event is in the log, also of one that was pruned since.",
    )
    def get(self, request: Request, event_id: UUID) -> HttpResponse:
        if not authoriser().anywhere(self.actor, "audit.read"):
            raise Forbidden("not_permitted", action="audit.read")
        here = trail.events(self.actor).filter(id=event_id).exists()
        if not here and not trail.pruned_events(self.actor).filter(event_id=event_id).exists():
            raise NotFound("not_found", kind="event", name=str(event_id))
        receipt = receipt_for(event_id)
        if receipt is None:
            raise NotFound("event_not_published")
        return HttpResponse(receipt, content_type="text/plain; charset=utf-8")


class CheckRunDetail(View):
    query = ("wait",)

    @extend_schema(parameters=[WAIT], responses={200: shapes.CheckRunOut, **problems(404)})
    def get(self, request: Request, run_id: UUID) -> Response:
        def one() -> CheckRun:
            row = authoriser().visible(self.actor, CheckRun.objects.all()).filter(id=run_id).first()
            if row is None:
                raise NotFound("not_found", kind="check run", name=str(run_id))
            return row

        row = wait_for(one, lambda found: found.finished, wait_seconds(request))
        return Response(shapes.CheckRunOut(row).data)
