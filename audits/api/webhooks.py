"""Webhooks over HTTP: subscribe, test, look at the log of deliveries, have something sent again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audits import messages, verbs
from audits.actors import authoriser
from audits.api.base import Page, View, given_by, paged, tagged
from audits.api.schema import problems
from audits.checks.contract import Message
from audits.errors import BadRequest, Forbidden, Unprocessable
from audits.models import Webhook, WebhookAttempt, WebhookDelivery
from audits.models.workspace import NAME
from audits.outbound import LONGEST_URL
from audits.services import webhooks
from audits.services.webhook_message import type_of
from audits.states import DeliveryState, WebhookState

INDEX = 2**53 - 1
SWITCH = [(state.value, state.label) for state in (WebhookState.ACTIVE, WebhookState.DISABLED)]


def _message(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    return messages.as_json(Message(stored["code"], stored["params"])) if stored else None


class _Known(serializers.Serializer[None]):
    """Refuses members it does not know: a misspelt filter must not become «everything»."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = self.initial_data if isinstance(self.initial_data, dict) else {}
        for name in given:
            if name not in self.fields:
                raise Unprocessable("invalid", field=str(name)[:50], reason="unknown member")
        return attrs


class NewWebhook(_Known):
    name = serializers.RegexField(rf"^{NAME}\Z", max_length=100)
    url = serializers.CharField(max_length=LONGEST_URL)
    verbs = serializers.ListField(
        child=serializers.CharField(max_length=80), max_length=200, required=False, help_text="absent: all"
    )
    subject_kinds = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=50, required=False, help_text="absent: all"
    )
    refusals = serializers.BooleanField(required=False, help_text="also tell what was refused")


class WebhookChange(NewWebhook):
    name = serializers.RegexField(rf"^{NAME}\Z", max_length=100, required=False)
    url = serializers.CharField(max_length=LONGEST_URL, required=False)
    state = serializers.ChoiceField(SWITCH, required=False)


class Rotation(_Known):
    overlap_hours = serializers.IntegerField(
        required=False, help_text="how long the old secret signs beside the new one; 24 if absent"
    )


class NewRedelivery(_Known):
    delivery = serializers.UUIDField(required=False)
    from_index = serializers.IntegerField(required=False, min_value=0, max_value=INDEX)
    to_index = serializers.IntegerField(required=False, min_value=0, max_value=INDEX)


class WebhookOut(serializers.ModelSerializer[Webhook]):
    disabled_reason = serializers.SerializerMethodField()
    waiting = serializers.SerializerMethodField(help_text="deliveries not yet made")

    class Meta:
        model = Webhook
        fields = [
            "id", "name", "url", "verbs", "subject_kinds", "refusals", "state", "disabled_reason", "failing_since",
            "cursor", "generation", "previous_until", "waiting", "created_at",
        ]  # fmt: skip

    def get_disabled_reason(self, row: Webhook) -> dict[str, Any] | None:
        return _message(row.disabled_reason)

    def get_waiting(self, row: Webhook) -> int:
        return row.deliveries.filter(state=DeliveryState.PENDING).count()


class WebhookSecretOut(WebhookOut):
    secret = serializers.SerializerMethodField(
        help_text="whsec_…; shown in this answer only, and null when the answer is repeated"
    )

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]

    def get_secret(self, row: Webhook) -> str | None:
        return self.context["secret"] or None


class TryOut(serializers.ModelSerializer[WebhookAttempt]):
    error = serializers.SerializerMethodField()

    class Meta:
        model = WebhookAttempt
        fields = ["at", "status", "latency_ms", "error", "excerpt"]

    def get_error(self, row: WebhookAttempt) -> dict[str, Any] | None:
        return _message(row.error)


class DeliveryOut(serializers.ModelSerializer[WebhookDelivery]):
    event = serializers.UUIDField(source="event_id")
    type = serializers.SerializerMethodField(help_text="null where the event was pruned")
    tries = TryOut(many=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "event", "type", "leaf_index", "subject_kind", "subject_id", "state", "attempts", "next_at",
            "settled_at", "tries",
        ]  # fmt: skip

    def get_type(self, row: WebhookDelivery) -> str | None:
        event = getattr(row, "event", None)
        return type_of(event.verb, event.outcome) if event is not None else None


class VerbsOut(serializers.Serializer[None]):
    verbs = serializers.ListField(child=serializers.CharField())


def _may(view: View) -> None:
    if not authoriser().may(view.actor, "webhook.manage"):
        raise Forbidden("not_permitted", action="webhook.manage")


class Webhooks(View):
    @extend_schema(
        request=NewWebhook,
        responses={201: WebhookSecretOut, **problems(403, 409, 422)},
        description="Subscribe an address to the ledger, from the next event on. The secret is in this answer only.",
    )
    def post(self, request: Request) -> Response:
        secret = webhooks.Secret()
        given = given_by(NewWebhook, request)
        row = webhooks.create_webhook(command=self.command(), secret=secret, **given).value
        response = Response(WebhookSecretOut(row, context={"secret": secret.text}).data, status=201)
        response["Location"] = f"/api/v1/webhooks/{row.id}"
        return response

    @extend_schema(responses={200: WebhookOut(many=True), **problems(403)})
    def get(self, request: Request) -> Response:
        _may(self)
        return paged(self, webhooks.webhooks(self.actor), WebhookOut)


class WebhookDetail(View):
    @extend_schema(responses={200: WebhookOut, **problems(404)})
    def get(self, request: Request, webhook_id: UUID) -> Response:
        row = webhooks.webhook(self.actor, webhook_id)
        return tagged(row.ref, lambda: WebhookOut(webhooks.webhook(self.actor, webhook_id)).data)

    @extend_schema(request=WebhookChange, responses={200: WebhookOut, **problems(403, 404, 409, 412, 422)})
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        webhooks.webhook(self.actor, webhook_id)
        changes = given_by(WebhookChange, request)
        command = self.command(updates="webhook")
        row = webhooks.change_webhook(command=command, webhook_id=webhook_id, changes=changes).value
        return tagged(row.ref, lambda: WebhookOut(row).data)

    @extend_schema(request=None, responses={204: None, **problems(403, 404, 409, 412)})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        webhooks.delete_webhook(command=self.command(body={}, updates="webhook"), webhook_id=webhook_id)
        return Response(status=204)


class WebhookSecret(View):
    @extend_schema(
        request=Rotation,
        responses={200: WebhookSecretOut, **problems(403, 404, 409, 422)},
        description="A new secret. For a while both sign, so that the receiver can change over.",
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        webhooks.webhook(self.actor, webhook_id)
        secret = webhooks.Secret()
        given = given_by(Rotation, request)
        row = webhooks.rotate_secret(
            command=self.command(), webhook_id=webhook_id, secret=secret, **given
        ).value
        return Response(WebhookSecretOut(row, context={"secret": secret.text}).data)


class WebhookTest(View):
    @extend_schema(
        request=None,
        responses={202: WebhookOut, **problems(403, 404, 409, 422)},
        description="Send crivo.test; how it went is in the log of deliveries a moment later.",
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        webhooks.webhook(self.actor, webhook_id)
        row = webhooks.send_test(command=self.command(), webhook_id=webhook_id).value
        return Response(WebhookOut(row).data, status=202)


class WebhookRedeliveries(View):
    @extend_schema(request=NewRedelivery, responses={202: WebhookOut, **problems(403, 404, 409, 422)})
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Send again: one `delivery`, or everything from `from_index` to `to_index` of the log, both inclusive."""
        webhooks.webhook(self.actor, webhook_id)
        given = given_by(NewRedelivery, request)
        row = webhooks.redeliver(
            command=self.command(),
            webhook_id=webhook_id,
            delivery_id=given.get("delivery"),
            from_index=given.get("from_index"),
            to_index=given.get("to_index"),
        ).value
        return Response(WebhookOut(row).data, status=202)


class DeliveryPage(Page):
    ordering = "-leaf_index"


class WebhookDeliveries(View):
    query = ("state",)
    pagination_class = DeliveryPage

    @extend_schema(
        parameters=[OpenApiParameter("state", str, enum=list(DeliveryState.values))],
        responses={200: DeliveryOut(many=True), **problems(400, 404)},
        description="The log of deliveries, the newest event first, each with its tries.",
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        row = webhooks.webhook(self.actor, webhook_id)
        rows = WebhookDelivery.objects.filter(webhook=row)
        if state := request.query_params.get("state"):
            if state not in DeliveryState.values:
                raise BadRequest("invalid", field="state", reason=state[:50])
            rows = rows.filter(state=state)
        return paged(self, rows.prefetch_related("tries", "event"), DeliveryOut)


class WebhookVerbs(View):
    @extend_schema(responses={200: VerbsOut, **problems(403)})
    def get(self, request: Request) -> Response:
        """What a subscription can name in `verbs`."""
        _may(self)
        return Response({"verbs": sorted(verbs.all_verbs())})


urlpatterns = [
    path("webhooks", Webhooks.as_view()),
    path("webhooks/verbs", WebhookVerbs.as_view()),
    path("webhooks/<uuid:webhook_id>", WebhookDetail.as_view()),
    path("webhooks/<uuid:webhook_id>/secret", WebhookSecret.as_view()),
    path("webhooks/<uuid:webhook_id>/test", WebhookTest.as_view()),
    path("webhooks/<uuid:webhook_id>/redeliveries", WebhookRedeliveries.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries", WebhookDeliveries.as_view()),
]
