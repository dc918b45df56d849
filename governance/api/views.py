"""Governance over HTTP. Views read the request, call one service or selector, and shape the answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.base import View, etag_of, given_by, paged, wait_for, wait_seconds
from audits.api.schema import WAIT, problems
from audits.errors import BadRequest, NotFound
from audits.ledger.receipts import receipt_for
from audits.models import Workspace
from governance import selectors
from governance.api import serializers as shapes
from governance.api.shapes import promotion
from governance.authority import Authority, roles_of
from governance.models import Promotion
from governance.services import decisions, promotions
from governance.states import PromotionState
from registry.selectors import found, model_version


class Me(View):
    @extend_schema(responses={200: shapes.MeOut, **problems()})
    def get(self, request: Request) -> Response:
        actor = self.actor
        return Response(
            {
                "kind": actor.kind,
                "id": actor.id,
                "workspace": Workspace.objects.get(id=actor.workspace).name,
                "roles": sorted(roles_of(actor)),
                "scopes": None if actor.scopes is None else sorted(actor.scopes),
            }
        )


class VersionPromotions(View):
    @extend_schema(
        request=shapes.NewPromotion, responses={201: shapes.PromotionOut, **problems(403, 404, 409, 422)}
    )
    def post(self, request: Request, name: str, n: int) -> Response:
        version = model_version(self.actor, name, n)
        given = given_by(shapes.NewPromotion, request)
        result = promotions.request_promotion(command=self.command(), version_id=version.id, **given)
        row = selectors.promotion(self.actor, result.value.id)
        response = Response(promotion(row), status=201)
        response["Location"] = f"/api/v1/promotions/{row.id}"
        return response


class Promotions(View):
    query = ("state", "model")

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=list(PromotionState.values)),
            OpenApiParameter("model", str),
        ],
        responses={200: shapes.PromotionOut(many=True), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        rows = selectors.promotions(self.actor)
        if (state := request.query_params.get("state")) is not None:
            if state not in PromotionState.values:
                raise BadRequest("invalid", field="state", reason=state[:50])
            rows = rows.filter(state=state)
        if model := request.query_params.get("model"):
            rows = rows.filter(version__model__name=model)
        return paged(self, rows, _PromotionShape)


class _PromotionShape(shapes.PromotionOut):
    def to_representation(self, instance: Any) -> dict[str, Any]:
        return super().to_representation(promotion(instance))


class PromotionDetail(View):
    query = ("wait",)

    @extend_schema(parameters=[WAIT], responses={200: shapes.PromotionOut, 304: None, **problems(404)})
    def get(self, request: Request, promotion_id: UUID) -> Response:
        """With `wait`, the answer comes when something changes: checks finished, decided, effective.

        Send the ETag of the last answer as If-None-Match: a change meanwhile is answered at once, no change with 304.
        """

        def read() -> dict[str, Any]:
            return promotion(selectors.promotion(self.actor, promotion_id))

        data = read()
        seen = _progress(data)
        known = request.headers.get("If-None-Match")
        seconds = wait_seconds(request)
        # Who says what they know (If-None-Match) and does not know this yet gets it at once: no change is slept over.
        if seconds and known in (None, _tag(seen)) and _moving(data):
            data = wait_for(read, lambda now: _progress(now) != seen, seconds)
        tag = _tag(_progress(data))
        response = Response(status=304) if known == tag else Response(shapes.PromotionOut(data).data)
        response["ETag"] = tag
        return response


def _tag(progress: tuple[Any, ...]) -> str:
    return etag_of(repr(progress))


def _progress(data: dict[str, Any]) -> tuple[Any, ...]:
    approvals = tuple((row["role"], row["given"]) for row in data["approvals"])
    return (
        data["state"],
        data["effective"],
        data["attestation"] is not None,
        data["dossier_digest"],
        approvals,
    )


def _moving(data: dict[str, Any]) -> bool:
    """Whether anything can still happen to it by itself or by people."""
    if data["state"] == PromotionState.GRANTED:
        return not data["effective"] or data["attestation"] is None
    return data["state"] in (PromotionState.CHECKING, PromotionState.AWAITING_APPROVAL)


class Decisions(View):
    @extend_schema(
        request=shapes.NewDecision, responses={201: shapes.DecisionOut, **problems(403, 404, 409, 422)}
    )
    def post(self, request: Request, promotion_id: UUID) -> Response:
        selectors.promotion(self.actor, promotion_id)
        given = given_by(shapes.NewDecision, request)
        decision = decisions.decide(command=self.command(), promotion_id=promotion_id, **given).value
        data = {
            "id": decision.id,
            "verdict": decision.verdict,
            "role": decision.role,
            "promotion": promotion(selectors.promotion(self.actor, promotion_id)),
        }
        return Response(shapes.DecisionOut(data).data, status=201)


class Withdrawals(View):
    @extend_schema(
        request=shapes.Withdrawal, responses={200: shapes.PromotionOut, **problems(403, 404, 409, 422)}
    )
    def post(self, request: Request, promotion_id: UUID) -> Response:
        selectors.promotion(self.actor, promotion_id)
        given = given_by(shapes.Withdrawal, request)
        promotions.withdraw_promotion(command=self.command(), promotion_id=promotion_id, **given)
        return Response(promotion(selectors.promotion(self.actor, promotion_id)))


def _proved(view: View, promotion_id: UUID) -> Promotion:
    """For whoever may ask the gate: a deploy job fetches the proof with the same token."""
    seen = Authority().reached(view.actor, "gate.read", Promotion.objects.filter(id=promotion_id))
    return found(seen, "promotion", str(promotion_id))


class AttestationDetail(View):
    @extend_schema(
        responses={(200, "application/vnd.in-toto+json"): OpenApiTypes.STR, **problems(404)},
        description="The newest DSSE envelope of the promotion, one line of an *.intoto.jsonl file.",
    )
    def get(self, request: Request, promotion_id: UUID) -> HttpResponse:
        row = _proved(self, promotion_id)
        newest = row.attestation
        if newest is None:
            raise NotFound("attestation_pending")
        return HttpResponse(newest.envelope + "\n", content_type="application/vnd.in-toto+json")


class ReceiptDetail(View):
    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR, **problems(404)},
        description="Proof (C2SP tlog-proof) that the granting event is in the log.",
    )
    def get(self, request: Request, promotion_id: UUID) -> HttpResponse:
        row = _proved(self, promotion_id)
        receipt = receipt_for(row.placement.granted_event) if hasattr(row, "placement") else None
        if receipt is None:
            raise NotFound("attestation_pending")
        return HttpResponse(receipt, content_type="text/plain; charset=utf-8")
