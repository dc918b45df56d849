"""The registry over HTTP. Views read the request, call one service or selector, and shape the answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from audits import blobs
from audits.actors import SubjectRef, authoriser
from audits.api.base import View, paged
from audits.api.filters import PART_OF_NAME, Filter, narrowed, parameters
from audits.api.multipart import UNSTORABLE, receive
from audits.api.parsers import StrictJSONParser
from audits.api.schema import problems
from audits.canonical import storable
from audits.errors import BadRequest, NotFound, Unprocessable
from audits.fetching import announced, fetch
from registry import lineage_graph, selectors
from registry.api import serializers as shapes
from registry.models import LineageNode
from registry.services import datasets, lineage, models
from registry.states import VersionState
from registry.tabular import Profile, checked_dialect, declared_columns, look

MAX_DEPTH = 100
# As lenient as we are: it names a job, a run or a dataset; whatever else is odd about it becomes a finding.
LINEAGE_EVENT = {
    "type": "object",
    "anyOf": [
        {"required": [name], "properties": {name: {"type": "object", "minProperties": 1}}}
        for name in ("job", "run", "dataset")
    ],
}
NAMED = {"name": PART_OF_NAME}
VERSIONS = {
    "state": Filter("state", values=tuple(VersionState.values)),
    "digest": Filter("artifact_digest", "of the artefact: sha256:…"),
}
CONTENT = {"digest": Filter("digest", "of the content: sha256:…")}
MAX_SENSITIVE = 500  # each is named in the event


def _status(created: bool) -> int:
    return 201 if created else 200


class Datasets(View):
    query = tuple(NAMED)

    @extend_schema(
        request=shapes.NewDataset,
        responses={200: shapes.DatasetOut, 201: shapes.DatasetOut, **problems(403, 409, 422)},
    )
    def post(self, request: Request) -> Response:
        given = shapes.NewDataset(data=request.data)
        given.is_valid(raise_exception=True)
        result = datasets.register_dataset(command=self.command(), **given.validated_data)
        return Response(shapes.DatasetOut(result.value).data, status=_status(result.created))

    @extend_schema(
        parameters=parameters(NAMED), responses={200: shapes.DatasetOut(many=True), **problems(400, 403)}
    )
    def get(self, request: Request) -> Response:
        return paged(self, narrowed(self, selectors.datasets(self.actor), NAMED), shapes.DatasetOut)


class DatasetDetail(View):
    @extend_schema(responses={200: shapes.DatasetOut, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(shapes.DatasetOut(selectors.dataset(self.actor, name)).data)


def _taken(
    view: View, request: Request, part: str, action: str, on: SubjectRef, zone: str | None = None
) -> tuple[blobs.Stored | Unprocessable, dict[str, Any], Any, str]:
    """What was sent, or fetched: the bytes (or why not), the metadata, what an idempotency key is bound to, the URI."""
    if request.content_type and request.content_type.startswith("multipart/"):
        if zone is not None:  # not a byte of it is read
            return Unprocessable("zone_upload_refused", field=part, zone=zone), {}, {}, ""
        received = receive(request, view.actor, part)
        return received.stored, received.metadata, received.body, ""
    given = request.data if isinstance(request.data, dict) else {}
    unknown = sorted(set(given) - {"uri", "digest", "metadata"})
    if unknown:
        raise BadRequest("invalid", field=unknown[0], reason="known: uri, digest, metadata")
    metadata = given.get("metadata", {})
    if not isinstance(metadata, dict):
        raise BadRequest("upload_metadata_invalid", field="metadata", reason="not an object")
    if changed := storable(given)[1]:
        raise BadRequest("upload_metadata_invalid", field="metadata", reason=UNSTORABLE[min(changed)])
    uri = given.get("uri")
    if not authoriser().may(view.actor, action, on):
        # Nothing is fetched for who may not. The service says so; if it should permit them by now, it has no bytes.
        return Unprocessable("fetch_not_begun", field="uri"), metadata, given, ""
    digest = given.get("digest")
    found = fetch(view.actor.workspace, uri, digest) if zone is None else announced(uri, digest)
    return found, metadata, given, str(uri)


class DatasetVersions(View):
    query = tuple(CONTENT)
    parser_classes = [MultiPartParser, StrictJSONParser]

    @extend_schema(
        request={"multipart/form-data": shapes.DatasetUpload, "application/json": shapes.ByUri},
        responses={
            200: shapes.DatasetVersionOut,
            201: shapes.DatasetVersionOut,
            **problems(400, 403, 404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, name: str) -> Response:
        dataset = selectors.dataset(self.actor, name)
        action, zone = datasets.registering(dataset), dataset.zone
        stored, metadata, body, uri = _taken(self, request, "file", action, dataset.ref, zone)
        about = dict(metadata)
        columns = declared_columns(about.pop("columns", [])) if zone is not None else []
        given = _dataset_metadata(about)
        seen: Profile | Unprocessable
        if isinstance(stored, Unprocessable) or zone is not None:
            seen = Profile(None, columns)
        else:
            with blobs.opened(self.actor.workspace, stored.digest) as file:
                seen = look(file, given["format"], given["dialect"])
        result = datasets.register_dataset_version(
            command=self.command(body=body),
            name=name,
            stored=stored,
            format=given["format"],
            profile=seen,
            sensitive=given["sensitive"],
            expected_digest=given["digest"],
            dialect=given["dialect"],
            uri=uri,
        )
        return Response(shapes.DatasetVersionOut(result.value).data, status=_status(result.created))

    @extend_schema(
        parameters=parameters(CONTENT),
        responses={200: shapes.DatasetVersionOut(many=True), **problems(400, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        dataset = selectors.dataset(self.actor, name)
        rows = selectors.dataset_versions(self.actor).filter(dataset=dataset).prefetch_related("sketches")
        return paged(self, narrowed(self, rows, CONTENT), shapes.DatasetVersionOut)


def _dataset_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    given = {"format": "csv", "sensitive": {}, "digest": "", "dialect": {}, **metadata}
    unknown = sorted(set(given) - {"format", "sensitive", "digest", "dialect"})
    if unknown:
        raise BadRequest("invalid", field=f"metadata.{unknown[0]}", reason=f"unknown field {unknown[0]}")
    if isinstance(given["sensitive"], list):
        given["sensitive"] = {str(column): {} for column in given["sensitive"]}
    well_formed = isinstance(given["sensitive"], dict) and all(
        isinstance(declared, dict)
        and set(declared) <= {"bins"}
        and isinstance(bins := declared.get("bins", []), list)
        and all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in bins)
        for declared in given["sensitive"].values()
    )
    if isinstance(given["sensitive"], dict) and len(given["sensitive"]) > MAX_SENSITIVE:
        reason = f"at most {MAX_SENSITIVE} sensitive columns"
        raise BadRequest("invalid", field="metadata.sensitive", reason=reason)
    if not well_formed or not isinstance(given["digest"], str) or not isinstance(given["format"], str):
        raise BadRequest("invalid", field="metadata", reason='sensitive is {column: {"bins": [numbers]}}')
    try:
        given["dialect"] = checked_dialect(given["dialect"])
    except Unprocessable as refusal:
        raise BadRequest(
            "invalid", field=refusal.field, reason=f"known: {refusal.message.params['known']}"
        ) from refusal
    return given


class DatasetVersionDetail(View):
    @extend_schema(responses={200: shapes.DatasetVersionOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        return Response(shapes.DatasetVersionOut(selectors.dataset_version(self.actor, f"{name}@{n}")).data)


class Models(View):
    query = tuple(NAMED)

    @extend_schema(
        request=shapes.NewNamed,
        responses={200: shapes.ModelOut, 201: shapes.ModelOut, **problems(403, 409, 422)},
    )
    def post(self, request: Request) -> Response:
        given = shapes.NewNamed(data=request.data)
        given.is_valid(raise_exception=True)
        result = models.register_model(command=self.command(), **given.validated_data)
        return Response(shapes.ModelOut(result.value).data, status=_status(result.created))

    @extend_schema(
        parameters=parameters(NAMED), responses={200: shapes.ModelOut(many=True), **problems(400, 403)}
    )
    def get(self, request: Request) -> Response:
        return paged(self, narrowed(self, selectors.models(self.actor), NAMED), shapes.ModelOut)


class ModelDetail(View):
    @extend_schema(responses={200: shapes.ModelOut, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(shapes.ModelOut(selectors.model(self.actor, name)).data)


class ModelVersions(View):
    query = tuple(VERSIONS)
    parser_classes = [MultiPartParser, StrictJSONParser]

    @extend_schema(
        request={"multipart/form-data": shapes.ModelUpload, "application/json": shapes.ByUri},
        responses={
            200: shapes.ModelVersionOut,
            201: shapes.ModelVersionOut,
            **problems(400, 403, 404, 409, 413, 415, 422),
        },
    )
    def post(self, request: Request, name: str) -> Response:
        model = selectors.model(self.actor, name)
        action = "model_version.register"
        stored, metadata, body, uri = _taken(self, request, "artifact", action, model.ref)
        metadata = dict(metadata)
        digest = metadata.pop("digest", "")
        result = models.register_model_version(
            command=self.command(body=body),
            name=name,
            stored=stored,
            metadata=metadata,
            expected_digest=str(digest),
            uri=uri,
        )
        return Response(shapes.ModelVersionOut(result.value).data, status=_status(result.created))

    @extend_schema(
        parameters=parameters(VERSIONS),
        responses={200: shapes.ModelVersionOut(many=True), **problems(400, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        model = selectors.model(self.actor, name)
        versions = (
            selectors.model_versions(self.actor).filter(model=model).prefetch_related("training__dataset")
        )
        return paged(self, narrowed(self, versions, VERSIONS), shapes.ModelVersionOut)


class ModelVersionDetail(View):
    @extend_schema(responses={200: shapes.ModelVersionOut, **problems(404)})
    def get(self, request: Request, name: str, n: int) -> Response:
        return Response(shapes.ModelVersionOut(selectors.model_version(self.actor, name, n)).data)


class Lineage(View):
    query = ("nodeId", "depth", "direction")

    @extend_schema(
        request={"application/json": LINEAGE_EVENT},
        responses={200: shapes.LineageStored, 201: shapes.LineageStored, **problems(400, 403)},
        description="One OpenLineage event (spec 2-0-2).",
    )
    def post(self, request: Request) -> Response:
        result = lineage.record_lineage(command=self.command(), event=request.data)
        return Response(shapes.LineageStored(result.value).data, status=_status(result.created))

    @extend_schema(
        parameters=[
            OpenApiParameter("nodeId", str, required=True, description="kind:namespace:name"),
            OpenApiParameter("depth", {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH, "default": 20}),
            OpenApiParameter("direction", str, enum=["up", "down", "both"], description="default both"),
        ],
        responses={200: shapes.LineageGraphOut, **problems(400, 404)},
    )
    def get(self, request: Request) -> Response:
        node_id = request.query_params.get("nodeId", "")
        kind, _, rest = node_id.partition(":")
        visible = authoriser().visible(self.actor, LineageNode.objects.all())
        # A namespace may hold colons (a URL does): whichever split is a node of ours is meant.
        splits = [(rest[:at], rest[at + 1 :]) for at, letter in enumerate(rest) if letter == ":"][:50]
        if "\x00" in node_id:
            raise NotFound("node_unknown", node="")
        start = next(
            (
                found
                for namespace, name in splits
                if (found := visible.filter(kind=kind, namespace=namespace, name=name).first())
            ),
            None,
        )
        if start is None:
            raise NotFound("node_unknown", node=node_id[:400])
        graph = lineage_graph.walk(visible, start, depth=_depth(request), direction=_direction(request))
        return Response({"nodes": graph.nodes, "edges": graph.edges, "truncated": graph.truncated})


def _depth(request: Request) -> int:
    text = request.query_params.get("depth", "20")
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MAX_DEPTH:
        raise BadRequest("depth_invalid", field="depth", limit=MAX_DEPTH)
    return int(text)


def _direction(request: Request) -> lineage_graph.Direction:
    direction = request.query_params.get("direction", "both")
    if direction not in ("up", "down", "both"):
        raise BadRequest("direction_invalid", field="direction")
    return direction  # type: ignore[return-value]
