"""The gate over HTTP: single and bulk questions, its offline bundle, and the way in for models that run already."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.actors import authoriser
from audits.api.base import View, etag_of, given_by, paged
from audits.api.filters import Filter, narrowed, parameters
from audits.api.schema import ReasonOut, problems
from audits.api.views import Plain
from audits.checks.contract import Message
from audits.errors import BadRequest, Forbidden, NotFound, Unprocessable
from audits.moments import moment_of
from governance import gate
from governance.api.serializers import GateOut
from governance.api.shapes import gate_answer
from governance.authority import Authority
from governance.models import Attestation, Grandfathered, Import, Reconciliation, RevocationList
from governance.services import brownfield, reconciliations
from governance.services.brownfield import Row
from governance.services.keys import compromised_keys
from governance.states import GrandfatheredState
from registry.models import Model

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MAX_QUESTIONS = 500
AT = OpenApiParameter(
    "at", OpenApiTypes.DATETIME, description="what was answered then, e.g. 2026-01-31T00:00:00Z; default: now"
)


# What goes in, what comes out


class Digest(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(rf"^{DIGEST.pattern}\Z", max_length=80, **options)


class QuestionIn(serializers.Serializer[None]):
    digest = Digest()
    environment = serializers.CharField(max_length=60)
    model = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class QuestionsIn(serializers.Serializer[None]):
    questions = serializers.ListField(child=QuestionIn(), min_length=1, max_length=MAX_QUESTIONS)
    at = serializers.DateTimeField(required=False, help_text="as for a single question")


class AnswersOut(serializers.Serializer[Any]):
    answers = GateOut(many=True, help_text="in the order of the questions")


class RunningIn(serializers.Serializer[None]):
    """What runs: an artefact by its digest, and where. Anything else that is known about it helps to find it."""

    digest = Digest()
    environment = serializers.CharField(max_length=60)
    model = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    version = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    uri = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)
    since = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ImportRowIn(RunningIn):
    model = serializers.CharField(max_length=200)


class NewImport(serializers.Serializer[None]):
    rows = serializers.ListField(child=ImportRowIn(), min_length=1, max_length=brownfield.MAX_ROWS)
    deadline = serializers.DateTimeField(
        required=False, help_text="default: as long as policy allows, 90 days where it does not say"
    )


class ImportRowOut(serializers.Serializer[None]):
    model = serializers.CharField()
    version = serializers.CharField()
    digest = serializers.CharField()
    environment = serializers.CharField()
    status = serializers.ChoiceField(choices=["imported", "existing", "placed", "replaced"])
    deadline = serializers.DateTimeField(allow_null=True)


class ImportOut(serializers.ModelSerializer[Import]):
    report = ImportRowOut(many=True)

    class Meta:
        model = Import
        fields = ["id", "digest", "created_at", "report"]


class GrandfatheredOut(serializers.ModelSerializer[Grandfathered]):
    model = serializers.CharField(source="model.name")
    environment = serializers.CharField(source="environment.name")

    class Meta:
        model = Grandfathered
        fields = [
            "id", "model", "version", "artifact_digest", "artifact_uri", "format", "environment", "since", "deadline",
            "state", "ended_at", "created_at",
        ]  # fmt: skip


class Ending(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=4000)


class NewReconciliation(serializers.Serializer[None]):
    running = serializers.ListField(child=RunningIn(), max_length=reconciliations.MAX_ROWS)
    environments = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        default=list,
        max_length=100,
        help_text="those the list speaks for: what is approved there and not in the list is absent",
    )


class FindingOut(serializers.Serializer[None]):
    kind = serializers.ChoiceField(
        choices=["approved", "grandfathered", *sorted(reconciliations.DIFFERENCES)]
    )
    environment = serializers.CharField()
    model = serializers.CharField(allow_blank=True, help_text="empty: not said, and not known")
    version = serializers.CharField(allow_blank=True)
    digest = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    reason = ReasonOut(allow_null=True)
    expected = serializers.ListField(
        child=serializers.CharField(), help_text="digests that are approved there"
    )


class ReconciliationOut(serializers.ModelSerializer[Reconciliation]):
    findings = serializers.SerializerMethodField()
    counts = serializers.DictField(child=serializers.IntegerField())
    environments = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Reconciliation
        fields = ["id", "asked_at", "environments", "findings", "counts", "differences", "digest"]

    @extend_schema_field(FindingOut(many=True))
    def get_findings(self, row: Reconciliation) -> list[dict[str, Any]]:
        return [{**item, "reason": _reason(item["reason"])} for item in row.findings]


def _reason(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    return messages.as_json(Message(stored["code"], stored["params"])) if stored else None


# The gate


def may_ask(view: View) -> frozenset[UUID] | None:
    """The models that may be asked about; None: all of the workspace. 403 where there is none."""
    reach = Authority().reach(view.actor, "gate.read")
    if reach.nowhere:
        raise Forbidden("not_permitted", action="gate.read")
    return None if reach.everywhere else reach.models


def _past(at: datetime | None) -> datetime | None:
    if at is not None and at > timezone.now():
        raise Unprocessable("at_in_future", field="at", at=at.isoformat())
    return at


def _at(text: str | None) -> datetime | None:
    if text is None:
        return None
    at = moment_of(text)
    if at is None:
        raise BadRequest("at_malformed", field="at")
    return _past(at)


def tagged(request: Request, data: Any) -> Response:
    """The answer with the ETag of what it says, or 304 for whoever knows it already."""
    tag = etag_of(JSONRenderer().render(data).decode())
    response = Response(status=304) if request.headers.get("If-None-Match") == tag else Response(data)
    response["ETag"] = tag
    response["Cache-Control"] = "private, no-cache"  # ask again each time: a suspension binds at once
    response["Vary"] = "Authorization, Accept-Language"
    return response


class Gate(View):
    rate = "gate"
    query = ("digest", "environment", "model", "at")

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "digest",
                {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                required=True,
                description="of the artefact",
            ),
            OpenApiParameter("environment", {"type": "string", "minLength": 1}, required=True),
            OpenApiParameter("model", str, description="if the artefact is registered for several models"),
            AT,
        ],
        responses={200: GateOut, 304: None, **problems(400, 403)},
        description="May this artefact run there, now or then? 200 for every well-formed question; default is no.",
    )
    def get(self, request: Request) -> Response:
        among = may_ask(self)
        for name in ("digest", "environment"):
            if not request.query_params.get(name):
                raise BadRequest("parameter_missing", field=name, name=name)
        digest = request.query_params["digest"]
        if not DIGEST.fullmatch(digest):
            raise BadRequest("digest_malformed", field="digest")
        at = _at(request.query_params.get("at"))
        environment = request.query_params["environment"]
        model = request.query_params.get("model", "")
        answer = gate.ask(self.actor.workspace, digest, environment, model, at, among)
        return tagged(request, gate_answer(digest, environment, answer, at))


class GateQuestions(View):
    rate = "gate"

    @extend_schema(
        request=QuestionsIn,
        responses={200: AnswersOut, **problems(400, 403)},
        description="Up to 500 questions at once, all answered as of one moment. Changes nothing.",
    )
    def post(self, request: Request) -> Response:
        among = may_ask(self)
        given = given_by(QuestionsIn, request)
        at = _past(given.get("at"))
        questions = [gate.Question(**question) for question in given["questions"]]
        answers = gate.ask_all(self.actor.workspace, questions, at, among)
        found = [
            gate_answer(question.digest, question.environment, answer, at)
            for question, answer in zip(questions, answers, strict=True)
        ]
        return Response({"answers": found})


class RevokedAttestations(Plain):
    """Public: it names promotions by id and attestations by digest, nothing else."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(
        auth=[],
        responses={(200, "application/json"): OpenApiTypes.OBJECT, 304: None, **problems(404)},
        description="Attestations that no longer hold: a DSSE envelope signed by the notary, with nextUpdate.",
    )
    def get(self, request: Request) -> HttpResponse:
        newest = RevocationList.objects.order_by("-n").first()
        if newest is None:
            raise NotFound("no_revocations_yet")
        tag = f'"{newest.n}"'
        known = request.headers.get("If-None-Match") == tag
        response = (
            HttpResponse(status=304)
            if known
            else HttpResponse(newest.envelope + "\n", content_type="application/json")
        )
        response["ETag"] = tag
        response["Cache-Control"] = "public, max-age=60"
        return response


class ModelAttestations(Plain):
    @extend_schema(
        responses={(200, "application/vnd.in-toto+json"): OpenApiTypes.STR, **problems(403, 404)},
        description="<model>.intoto.jsonl: the attestations of a model's promotions, one DSSE envelope a line. One "
        "that a stolen key signed is left out: nobody can tell it from a forged one.",
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        may_ask(self)
        model = Authority().reached(self.actor, "gate.read", Model.objects.filter(name=name)).first()
        if model is None:
            raise NotFound("not_found", kind="model", name=name[:200])
        rows = Attestation.objects.filter(promotion__version__model=model).exclude(
            key_id__in=compromised_keys()
        )
        rows = rows.order_by("promotion_id", "n")
        lines = "".join(f"{envelope}\n" for envelope in rows.values_list("envelope", flat=True))
        response = HttpResponse(lines, content_type="application/vnd.in-toto+json")
        response["Content-Disposition"] = f'attachment; filename="{model.name}.intoto.jsonl"'
        return response


# What ran before


class Imports(View):
    @extend_schema(
        request=NewImport,
        responses={200: ImportOut, 201: ImportOut, **problems(403, 422)},
        description="Let running models go on as grandfathered, until a deadline. The same list again changes nothing.",
    )
    def post(self, request: Request) -> Response:
        given = given_by(NewImport, request)
        result = brownfield.import_running(
            command=self.command(),
            rows=[Row(**row) for row in given["rows"]],
            deadline=given.get("deadline"),
        )
        return Response(ImportOut(result.value).data, status=201 if result.created else 200)

    @extend_schema(responses={200: ImportOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        return paged(self, authoriser().visible(self.actor, Import.objects.all()), ImportOut)


GRANDFATHERED = {
    "model": Filter("model__name"),
    "environment": Filter("environment__name"),
    "state": Filter("state", values=tuple(GrandfatheredState.values)),
}


class GrandfatheredList(View):
    query = tuple(GRANDFATHERED)

    @extend_schema(
        parameters=parameters(GRANDFATHERED),
        responses={200: GrandfatheredOut(many=True), **problems(400, 403)},
    )
    def get(self, request: Request) -> Response:
        rows = authoriser().visible(self.actor, Grandfathered.objects.select_related("model", "environment"))
        return paged(self, narrowed(self, rows, GRANDFATHERED), GrandfatheredOut)


class GrandfatheredEnding(View):
    @extend_schema(request=Ending, responses={200: GrandfatheredOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, entry_id: UUID) -> Response:
        given = given_by(Ending, request)
        if not authoriser().visible(self.actor, Grandfathered.objects.filter(id=entry_id)).exists():
            raise NotFound("not_found", kind="grandfathered", name=str(entry_id))
        row = brownfield.end_grandfathering(command=self.command(), entry_id=entry_id, **given).value
        return Response(GrandfatheredOut(row).data)


class Reconciliations(View):
    @extend_schema(
        request=NewReconciliation,
        responses={201: ReconciliationOut, **problems(403, 422)},
        description="Compare what runs where with what is approved. Kept as evidence, whatever comes out.",
    )
    def post(self, request: Request) -> Response:
        given = given_by(NewReconciliation, request)
        row = reconciliations.reconcile(
            command=self.command(),
            running=[Row(**item) for item in given["running"]],
            environments=given["environments"],
        ).value
        response = Response(ReconciliationOut(row).data, status=201)
        response["Location"] = f"/api/v1/reconciliations/{row.id}"
        return response

    @extend_schema(responses={200: ReconciliationOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        return paged(self, authoriser().visible(self.actor, Reconciliation.objects.all()), ReconciliationOut)


class ReconciliationDetail(View):
    @extend_schema(responses={200: ReconciliationOut, **problems(404)})
    def get(self, request: Request, reconciliation_id: UUID) -> Response:
        rows = authoriser().visible(self.actor, Reconciliation.objects.filter(id=reconciliation_id))
        row = rows.first()
        if row is None:
            raise NotFound("not_found", kind="reconciliation", name=str(reconciliation_id))
        return Response(ReconciliationOut(row).data)


urlpatterns = [
    path("gate", Gate.as_view()),
    path("gate/questions", GateQuestions.as_view()),
    path("attestations/revoked", RevokedAttestations.as_view()),
    path("models/<str:name>/attestations", ModelAttestations.as_view()),
    path("imports", Imports.as_view()),
    path("grandfathered", GrandfatheredList.as_view()),
    path("grandfathered/<uuid:entry_id>/ending", GrandfatheredEnding.as_view()),
    path("reconciliations", Reconciliations.as_view()),
    path("reconciliations/<uuid:reconciliation_id>", ReconciliationDetail.as_view()),
]
