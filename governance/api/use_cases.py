"""Use cases over HTTP: registered, read with their history, changed under their ETag, given another tier."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import View, etag_of, given_by, paged
from audits.api.filters import PART_OF_NAME, Filter, narrowed, parameters
from audits.api.schema import problems
from audits.errors import BadRequest
from governance import intake, selectors
from governance.models import UseCase, UseCaseVersion, User
from governance.models.policies import RiskTier
from governance.services import use_cases
from governance.services.people import Nobody, named

DECLARABLE = [(tier.value, tier.label) for tier in RiskTier if tier != RiskTier.PROHIBITED]
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="the ETag of what you read"
)


class Answers(serializers.Serializer[None]):
    version = serializers.IntegerField(help_text="of the questionnaire that was answered")
    answers = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        help_text="question → yes, no or unsure; true and false will do",
    )


class Details(serializers.Serializer[None]):
    problem = serializers.CharField(max_length=10_000, required=False, help_text="the business problem")
    intended_users = serializers.CharField(max_length=10_000, required=False)
    affected_people = serializers.CharField(max_length=10_000, required=False)
    expected_return = serializers.CharField(max_length=10_000, required=False)
    human_oversight = serializers.CharField(
        max_length=10_000, required=False, help_text="who watches it, and can stop it or overrule it, how"
    )
    success_metrics = serializers.ListField(
        child=serializers.CharField(max_length=1000), required=False, max_length=50
    )
    stakeholders = serializers.ListField(
        child=serializers.CharField(max_length=1000), required=False, max_length=50
    )
    legal_basis = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=50,
        help_text="article codes, e.g. LGPD-7-V, GDPR-6-1-b",
    )  # fmt: skip
    owner = serializers.CharField(max_length=150, required=False, help_text="user name; default: you")
    questionnaire = Answers(required=False)


class NewUseCase(Details):
    name = serializers.CharField(max_length=200)
    purpose = serializers.CharField(max_length=10_000, help_text="the intended purpose")
    risk_tier = serializers.ChoiceField(
        choices=DECLARABLE, required=False, help_text="declared; or give the answers of the questionnaire"
    )


class UseCaseChange(Details):
    purpose = serializers.CharField(max_length=10_000, required=False)


class NewTier(serializers.Serializer[None]):
    risk_tier = serializers.ChoiceField(choices=DECLARABLE)
    reason = serializers.CharField(max_length=4000)


class UseCaseOut(serializers.ModelSerializer[UseCase]):
    owner = serializers.UUIDField(source="owner_id")
    risk_tier = serializers.CharField(help_text="minimal, limited, high or prohibited")
    computed_tier = serializers.CharField(allow_blank=True, help_text="by the questionnaire; empty: declared")
    intake = serializers.DictField()
    questionnaire = serializers.DictField(allow_null=True, help_text="{version, digest, answers}")

    class Meta:
        model = UseCase
        fields = [
            "id",
            "name",
            "purpose",
            "risk_tier",
            "computed_tier",
            "owner",
            "intake",
            "questionnaire",
            "n",
            "created_at",
        ]


class UseCaseVersionOut(serializers.ModelSerializer[UseCaseVersion]):
    content = serializers.DictField()
    event = serializers.UUIDField(source="event_id")

    class Meta:
        model = UseCaseVersion
        fields = ["n", "content", "event", "created_at"]


class QuestionOut(serializers.Serializer[None]):
    id = serializers.CharField()
    basis = serializers.CharField(help_text="the article it is modelled on")
    text = serializers.DictField(child=serializers.CharField(), help_text="by language")
    knock_out = serializers.CharField(allow_blank=True, help_text="the least tier of a yes")
    weight = serializers.IntegerField()


class QuestionnaireOut(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    digest = serializers.CharField()
    thresholds = serializers.DictField(child=serializers.IntegerField())
    questions = QuestionOut(many=True)
    legal_bases = serializers.DictField(child=serializers.DictField(child=serializers.CharField()))


def _given(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body, with what an intake asks for gathered under `details`."""
    data = given_by(shape, request)
    details = {name: data.pop(name) for name in intake.FIELDS if name in data}
    return {**data, "details": details} if issubclass(shape, Details) else data


def _owner(given: dict[str, Any]) -> User | Nobody | None:
    return named(given["owner"]) if "owner" in given else None


def _tag(use_case: UseCase) -> str:
    return etag_of(f"{use_case.id}:{use_case.n}")


def _answer(use_case: UseCase, status: int = 200) -> Response:
    response = Response(UseCaseOut(use_case).data, status=status)
    response["ETag"] = _tag(use_case)
    return response


def _seen(request: Request, use_case: UseCase) -> int:
    """The state the caller read. 400 without If-Match; 409, remembered, if it is another one by now."""
    tag = request.headers.get("If-Match", "")
    if not tag:
        raise BadRequest("if_match_missing", field="If-Match")
    return use_case.n if tag == _tag(use_case) else -1


FILTERS = {"name": PART_OF_NAME, "risk_tier": Filter("risk_tier", values=tuple(RiskTier.values))}


class UseCases(View):
    query = tuple(FILTERS)

    @extend_schema(
        request=NewUseCase, responses={200: UseCaseOut, 201: UseCaseOut, **problems(403, 409, 422)}
    )
    def post(self, request: Request) -> Response:
        """Declare a risk tier, or give the answers from which it is computed."""
        given = _given(NewUseCase, request)
        given["owner"] = _owner(given)
        result = use_cases.register_use_case(command=self.command(), **given)
        return _answer(result.value, 201 if result.created else 200)

    @extend_schema(
        parameters=parameters(FILTERS), responses={200: UseCaseOut(many=True), **problems(400, 403)}
    )
    def get(self, request: Request) -> Response:
        return paged(self, narrowed(self, selectors.use_cases(self.actor), FILTERS), UseCaseOut)


class UseCaseDetail(View):
    @extend_schema(responses={200: UseCaseOut, 304: None, **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        use_case = selectors.use_case(self.actor, name)
        if request.headers.get("If-None-Match") == _tag(use_case):
            response = Response(status=304)
            response["ETag"] = _tag(use_case)
            return response
        return _answer(use_case)

    @extend_schema(
        request=UseCaseChange,
        parameters=[IF_MATCH],
        responses={200: UseCaseOut, **problems(403, 404, 409, 422)},
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change what is given; the rest stays. New answers compute the tier anew."""
        use_case = selectors.use_case(self.actor, name)
        n, given = _seen(request, use_case), _given(UseCaseChange, request)
        given["owner"] = _owner(given)
        result = use_cases.edit_use_case(command=self.command(), use_case=use_case, n=n, **given)
        return _answer(result.value)


class UseCaseTier(View):
    @extend_schema(
        request=NewTier,
        parameters=[IF_MATCH],
        responses={200: UseCaseOut, **problems(403, 404, 409, 422)},
    )
    def post(self, request: Request, name: str) -> Response:
        """Another tier than the computed one, with a reason. Downward by somebody else than the owner."""
        use_case = selectors.use_case(self.actor, name)
        n, given = _seen(request, use_case), _given(NewTier, request)
        result = use_cases.set_tier(command=self.command(), use_case=use_case, n=n, **given)
        return _answer(result.value)


class UseCaseHistory(View):
    @extend_schema(responses={200: UseCaseVersionOut(many=True), **problems(404)})
    def get(self, request: Request, name: str) -> Response:
        """What it said after each change, the newest first."""
        return paged(self, selectors.use_case(self.actor, name).history.all(), UseCaseVersionOut)


class QuestionnaireDetail(View):
    @extend_schema(responses={200: QuestionnaireOut, **problems()}, operation_id="get_use_case_questionnaire")
    def get(self, request: Request) -> Response:
        asked = intake.questionnaire()
        data = {
            "version": asked.version,
            "digest": asked.digest,
            "thresholds": asked.thresholds,
            "questions": asked.questions,
            "legal_bases": intake.legal_bases(),
        }
        return Response(QuestionnaireOut(data).data)


urlpatterns = [
    path("use-case-questionnaire", QuestionnaireDetail.as_view()),
    path("use-cases", UseCases.as_view()),
    path("use-cases/<str:name>", UseCaseDetail.as_view()),
    path("use-cases/<str:name>/tier", UseCaseTier.as_view()),
    path("use-cases/<str:name>/history", UseCaseHistory.as_view()),
]
