"""Findings, waivers, conditions, re-reviews, broken glass and alarms over the API."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages
from audits.api.base import View, given_by, paged
from audits.api.schema import ReasonOut, problems
from audits.checks.contract import Message
from audits.errors import BadRequest
from governance import exceptions, selectors
from governance.clock import now as clock_now
from governance.models import Alarm, BrokenGlass, Condition, Finding, PlacementReview, Waiver
from governance.services import conditions, findings, glass, reviews, waivers
from governance.states import (
    AlarmState,
    ConditionState,
    FindingState,
    GlassState,
    ReviewState,
    Severity,
    WaiverState,
)
from registry.selectors import model_version

M = TypeVar("M", bound=Model)
WORDS = 4000


# What goes in


class Words(serializers.Serializer[None]):
    text = serializers.CharField(max_length=WORDS)


class Reason(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=WORDS)


class Judgement(serializers.Serializer[None]):
    holds = serializers.BooleanField(help_text="false sends it back")
    text = serializers.CharField(max_length=WORDS)


class NewFinding(serializers.Serializer[None]):
    severity = serializers.ChoiceField(choices=Severity.choices)
    owner = serializers.CharField(max_length=150, help_text="user name of who has to answer")
    due = serializers.DateTimeField()
    text = serializers.CharField(max_length=WORDS)
    evidence_digest = serializers.CharField(max_length=80, required=False, help_text="sha256:…")


class FindingAnswer(serializers.Serializer[None]):
    text = serializers.CharField(max_length=WORDS)
    evidence_digest = serializers.CharField(max_length=80, required=False, help_text="sha256:…")


class NewWaiver(serializers.Serializer[None]):
    environment = serializers.CharField(max_length=60)
    check = serializers.CharField(max_length=100)
    metric = serializers.CharField(max_length=100, allow_blank=True, default="")
    attribute = serializers.CharField(
        max_length=200, allow_blank=True, default="", help_text="as the line of the dossier has it"
    )
    reason = serializers.CharField(max_length=WORDS)
    compensating_control = serializers.CharField(max_length=WORDS)
    expires_at = serializers.DateTimeField()


class NewGlass(serializers.Serializer[None]):
    environment = serializers.CharField(max_length=60)
    reason = serializers.CharField(max_length=WORDS)
    hours = serializers.IntegerField(min_value=1, max_value=168)


# What comes out


class _OfVersion(serializers.ModelSerializer[M]):
    model = serializers.CharField(source="version.model.name")
    n = serializers.IntegerField(source="version.n")


class VersionFindingOut(_OfVersion[Finding]):
    metric = serializers.CharField(allow_null=True, help_text="the claim it is about, where Crivo opened it")
    reason = serializers.SerializerMethodField(help_text="what Crivo found; null where a person opened it")

    class Meta:
        model = Finding
        fields = [
            "id",
            "model",
            "n",
            "severity",
            "state",
            "owner_id",
            "due",
            "evidence_digest",
            "metric",
            "reason",
            "opened_by",
            "answered_by",
            "verified_by",
            "closed_by",
            "created_at",
        ]

    @extend_schema_field(ReasonOut(allow_null=True))
    def get_reason(self, row: Finding) -> dict[str, Any] | None:
        return messages.as_json(Message(**row.reason)) if row.reason else None


class WaiverOut(_OfVersion[Waiver]):
    environment = serializers.CharField(source="environment.name")
    check = serializers.CharField(source="check_slug")
    effective = serializers.SerializerMethodField(help_text="published, neither expired nor revoked")

    class Meta:
        model = Waiver
        fields = [
            "id",
            "model",
            "n",
            "environment",
            "check",
            "metric",
            "attribute",
            "state",
            "effective",
            "expires_at",
            "requested_by",
            "decided_by",
            "created_at",
        ]

    def get_effective(self, row: Waiver) -> bool:
        return exceptions.is_effective(row, clock_now())


class ConditionOut(serializers.ModelSerializer[Condition]):
    overdue = serializers.SerializerMethodField()

    class Meta:
        model = Condition
        fields = ["id", "promotion", "n", "due", "state", "overdue", "set_by", "reported_by", "verified_by"]

    def get_overdue(self, row: Condition) -> bool:
        return row.state != ConditionState.FULFILLED and row.due <= clock_now()


class ReviewOut(serializers.ModelSerializer[PlacementReview]):
    model = serializers.CharField(source="placement.version.model.name")
    n = serializers.IntegerField(source="placement.version.n")
    environment = serializers.CharField(source="placement.environment.name")

    class Meta:
        model = PlacementReview
        fields = [
            "id",
            "model",
            "n",
            "environment",
            "placement",
            "due",
            "state",
            "completed_by",
            "completed_at",
        ]


class GlassOut(_OfVersion[BrokenGlass]):
    environment = serializers.CharField(source="environment.name")
    alarm = serializers.UUIDField(source="alarm.id")

    class Meta:
        model = BrokenGlass
        fields = [
            "id",
            "model",
            "n",
            "environment",
            "state",
            "expires_at",
            "broken_by",
            "alarm",
            "created_at",
        ]


class AlarmOut(serializers.ModelSerializer[Alarm]):
    model = serializers.CharField(source="glass.version.model.name", allow_null=True)
    n = serializers.IntegerField(source="glass.version.n", allow_null=True)
    environment = serializers.CharField(source="glass.environment.name", allow_null=True)
    about = serializers.CharField(source="label", help_text="what it is about, in words")

    class Meta:
        model = Alarm
        fields = [
            "id",
            "model",
            "n",
            "environment",
            "glass",
            "about",
            "about_event",
            "state",
            "raised_by",
            "signed_off_by",
            "created_at",
        ]


# The views


def _filtered(request: Request, rows: QuerySet[M], states: list[str], model_path: str) -> QuerySet[M]:
    state = request.query_params.get("state")
    if state is not None:
        if state not in states:
            raise BadRequest("invalid", field="state", reason=state[:50])
        rows = rows.filter(state=state)
    if model := request.query_params.get("model"):
        rows = rows.filter(**{f"{model_path}__name": model})
    return rows


def _filters(states: type[Any]) -> list[OpenApiParameter]:
    return [OpenApiParameter("state", str, enum=list(states.values)), OpenApiParameter("model", str)]


class VersionFindings(View):
    @extend_schema(request=NewFinding, responses={201: VersionFindingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        result = findings.open_finding(
            command=self.command(), version_id=version.id, **given_by(NewFinding, request)
        )
        return Response(VersionFindingOut(selectors.finding(self.actor, result.value.id)).data, status=201)


class Findings(View):
    query = ("state", "model")

    @extend_schema(
        parameters=_filters(FindingState), responses={200: VersionFindingOut(many=True), **problems(400)}
    )
    def get(self, request: Request) -> Response:
        rows = _filtered(request, selectors.findings(self.actor), FindingState.values, "version__model")
        return paged(self, rows, VersionFindingOut)


class FindingDetail(View):
    @extend_schema(responses={200: VersionFindingOut, **problems(404)})
    def get(self, request: Request, finding_id: UUID) -> Response:
        return Response(VersionFindingOut(selectors.finding(self.actor, finding_id)).data)


class FindingAnswers(View):
    @extend_schema(request=FindingAnswer, responses={200: VersionFindingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, finding_id: UUID) -> Response:
        findings.answer_finding(
            command=self.command(), finding_id=finding_id, **given_by(FindingAnswer, request)
        )
        return Response(VersionFindingOut(selectors.finding(self.actor, finding_id)).data)


class FindingVerification(View):
    @extend_schema(request=Judgement, responses={200: VersionFindingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, finding_id: UUID) -> Response:
        findings.verify_finding(command=self.command(), finding_id=finding_id, **given_by(Judgement, request))
        return Response(VersionFindingOut(selectors.finding(self.actor, finding_id)).data)


class FindingClosing(View):
    @extend_schema(request=Judgement, responses={200: VersionFindingOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, finding_id: UUID) -> Response:
        findings.close_finding(command=self.command(), finding_id=finding_id, **given_by(Judgement, request))
        return Response(VersionFindingOut(selectors.finding(self.actor, finding_id)).data)


class VersionWaivers(View):
    @extend_schema(request=NewWaiver, responses={201: WaiverOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        result = waivers.request_waiver(
            command=self.command(), version_id=version.id, **given_by(NewWaiver, request)
        )
        return Response(WaiverOut(selectors.waiver(self.actor, result.value.id)).data, status=201)


class Waivers(View):
    query = ("state", "model")

    @extend_schema(parameters=_filters(WaiverState), responses={200: WaiverOut(many=True), **problems(400)})
    def get(self, request: Request) -> Response:
        rows = _filtered(request, selectors.waivers(self.actor), WaiverState.values, "version__model")
        return paged(self, rows, WaiverOut)


class WaiverDetail(View):
    @extend_schema(responses={200: WaiverOut, **problems(404)})
    def get(self, request: Request, waiver_id: UUID) -> Response:
        return Response(WaiverOut(selectors.waiver(self.actor, waiver_id)).data)


class WaiverApproval(View):
    @extend_schema(request=Reason, responses={200: WaiverOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, waiver_id: UUID) -> Response:
        """Effective once its event is in a signed checkpoint."""
        waivers.approve_waiver(command=self.command(), waiver_id=waiver_id, **given_by(Reason, request))
        return Response(WaiverOut(selectors.waiver(self.actor, waiver_id)).data)


class WaiverRefusal(View):
    @extend_schema(request=Reason, responses={200: WaiverOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, waiver_id: UUID) -> Response:
        waivers.refuse_waiver(command=self.command(), waiver_id=waiver_id, **given_by(Reason, request))
        return Response(WaiverOut(selectors.waiver(self.actor, waiver_id)).data)


class WaiverRevocation(View):
    @extend_schema(request=Reason, responses={200: WaiverOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, waiver_id: UUID) -> Response:
        """Binds at once."""
        waivers.revoke_waiver(command=self.command(), waiver_id=waiver_id, **given_by(Reason, request))
        return Response(WaiverOut(selectors.waiver(self.actor, waiver_id)).data)


class PromotionConditions(View):
    @extend_schema(responses={200: ConditionOut(many=True), **problems(404)})
    def get(self, request: Request, promotion_id: UUID) -> Response:
        row = selectors.promotion(self.actor, promotion_id)
        return paged(self, selectors.conditions(self.actor).filter(promotion=row), ConditionOut)


class ConditionReport(View):
    @extend_schema(request=Words, responses={200: ConditionOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, condition_id: UUID) -> Response:
        conditions.report_condition(
            command=self.command(), condition_id=condition_id, **given_by(Words, request)
        )
        return Response(ConditionOut(selectors.condition(self.actor, condition_id)).data)


class ConditionVerification(View):
    @extend_schema(request=Judgement, responses={200: ConditionOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, condition_id: UUID) -> Response:
        conditions.verify_condition(
            command=self.command(), condition_id=condition_id, **given_by(Judgement, request)
        )
        return Response(ConditionOut(selectors.condition(self.actor, condition_id)).data)


class Reviews(View):
    query = ("state", "model")

    @extend_schema(parameters=_filters(ReviewState), responses={200: ReviewOut(many=True), **problems(400)})
    def get(self, request: Request) -> Response:
        rows = selectors.placement_reviews(self.actor)
        return paged(
            self, _filtered(request, rows, ReviewState.values, "placement__version__model"), ReviewOut
        )


class ReviewCompletion(View):
    @extend_schema(request=Reason, responses={200: ReviewOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, review_id: UUID) -> Response:
        reviews.complete_review(command=self.command(), review_id=review_id, **given_by(Reason, request))
        return Response(ReviewOut(selectors.placement_review(self.actor, review_id)).data)


class VersionGlass(View):
    @extend_schema(request=NewGlass, responses={201: GlassOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, name: str, n: int) -> Response:
        """Let a version through although refused, for some hours; raises an alarm."""
        version = model_version(self.actor, name, n)
        result = glass.break_glass(
            command=self.command(), version_id=version.id, **given_by(NewGlass, request)
        )
        return Response(GlassOut(selectors.broken_glass(self.actor, result.value.id)).data, status=201)


class BrokenGlasses(View):
    query = ("state", "model")

    @extend_schema(parameters=_filters(GlassState), responses={200: GlassOut(many=True), **problems(400)})
    def get(self, request: Request) -> Response:
        rows = _filtered(request, selectors.broken_glasses(self.actor), GlassState.values, "version__model")
        return paged(self, rows, GlassOut)


class GlassEnd(View):
    @extend_schema(request=Reason, responses={200: GlassOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, glass_id: UUID) -> Response:
        glass.end_glass(command=self.command(), glass_id=glass_id, **given_by(Reason, request))
        return Response(GlassOut(selectors.broken_glass(self.actor, glass_id)).data)


class Alarms(View):
    query = ("state", "model")

    @extend_schema(parameters=_filters(AlarmState), responses={200: AlarmOut(many=True), **problems(400)})
    def get(self, request: Request) -> Response:
        rows = _filtered(request, selectors.alarms(self.actor), AlarmState.values, "glass__version__model")
        return paged(self, rows, AlarmOut)


class AlarmSignOff(View):
    @extend_schema(request=Reason, responses={200: AlarmOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, alarm_id: UUID) -> Response:
        glass.sign_off_alarm(command=self.command(), alarm_id=alarm_id, **given_by(Reason, request))
        return Response(AlarmOut(selectors.alarm(self.actor, alarm_id)).data)


urlpatterns = [
    path("models/<str:name>/versions/<int:n>/findings", VersionFindings.as_view()),
    path("findings", Findings.as_view()),
    path("findings/<uuid:finding_id>", FindingDetail.as_view()),
    path("findings/<uuid:finding_id>/answer", FindingAnswers.as_view()),
    path("findings/<uuid:finding_id>/verification", FindingVerification.as_view()),
    path("findings/<uuid:finding_id>/closing", FindingClosing.as_view()),
    path("models/<str:name>/versions/<int:n>/waivers", VersionWaivers.as_view()),
    path("waivers", Waivers.as_view()),
    path("waivers/<uuid:waiver_id>", WaiverDetail.as_view()),
    path("waivers/<uuid:waiver_id>/approval", WaiverApproval.as_view()),
    path("waivers/<uuid:waiver_id>/refusal", WaiverRefusal.as_view()),
    path("waivers/<uuid:waiver_id>/revocation", WaiverRevocation.as_view()),
    path("promotions/<uuid:promotion_id>/conditions", PromotionConditions.as_view()),
    path("conditions/<uuid:condition_id>/report", ConditionReport.as_view()),
    path("conditions/<uuid:condition_id>/verification", ConditionVerification.as_view()),
    path("reviews", Reviews.as_view()),
    path("reviews/<uuid:review_id>/completion", ReviewCompletion.as_view()),
    path("models/<str:name>/versions/<int:n>/break-glass", VersionGlass.as_view()),
    path("break-glass", BrokenGlasses.as_view()),
    path("break-glass/<uuid:glass_id>/end", GlassEnd.as_view()),
    path("alarms", Alarms.as_view()),
    path("alarms/<uuid:alarm_id>/sign-off", AlarmSignOff.as_view()),
]
