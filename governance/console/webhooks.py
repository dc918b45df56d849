"""Webhooks on one screen: their state, what waits, how the last deliveries went, a button to test and to send again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages as notices
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from audits import messages
from audits.errors import Problem
from audits.models import Webhook, WebhookAttempt
from audits.services import webhooks as services
from audits.services.webhook_message import type_of
from audits.states import DeliveryState
from governance.console.people import Visitor, command_of, page
from governance.console.wording import sentence

LAST = 30


@dataclass(frozen=True)
class Row:
    webhook: Webhook
    host: str
    reason: str
    waiting: int
    dead: int


@dataclass(frozen=True)
class Try:
    attempt: WebhookAttempt
    type: str
    error: str
    again: bool  # it may be sent again


@page
def webhooks(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    return _shown(request, visitor)


@page
def act(request: HttpRequest, visitor: Visitor, webhook_id: UUID) -> HttpResponse:
    """Test, or send one delivery again. The service decides whether this may be."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    command = command_of(request, visitor)
    try:
        if "delivery" in request.POST:
            delivery = _uuid(request.POST["delivery"])
            services.redeliver(command=command, webhook_id=webhook_id, delivery_id=delivery)
            said = gettext("It will be sent again in a moment.")
        else:
            services.send_test(command=command, webhook_id=webhook_id)
            said = gettext("A test is on its way. Load this page again in a moment to see how it went.")
    except Problem as problem:
        if problem.status == 404:
            raise
        return _shown(request, visitor, problem)
    notices.success(request, said)
    return redirect("admin:webhooks")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _shown(request: HttpRequest, visitor: Visitor, refusal: Problem | None = None) -> HttpResponse:
    if not visitor.may("webhook.manage"):
        raise PermissionDenied(gettext("Webhooks are managed by administrators; you are not one here."))
    rows = services.webhooks(visitor.actor).annotate(
        waiting=Count("deliveries", filter=Q(deliveries__state=DeliveryState.PENDING)),
        dead=Count("deliveries", filter=Q(deliveries__state=DeliveryState.DEAD)),
    )
    listed = [
        Row(
            webhook,
            urlsplit(webhook.url).hostname or "",
            messages.render(webhook.disabled_reason),
            webhook.waiting,
            webhook.dead,
        )
        for webhook in rows.order_by("name")
    ]
    tries = (
        WebhookAttempt.objects.filter(delivery__webhook__in=[row.webhook for row in listed])
        .select_related("delivery__webhook", "delivery__event")
        .order_by("-at")[:LAST]
    )
    context = {
        "visitor": visitor,
        "here": "webhooks",
        "rows": listed,
        "tries": [
            Try(
                attempt,
                type_of(attempt.delivery.event.verb, attempt.delivery.event.outcome),
                messages.render(attempt.error),
                attempt.delivery.state != DeliveryState.PENDING,
            )
            for attempt in tries
        ],
        "refusal": sentence(refusal.message) if refusal else "",
    }
    return render(request, "console/webhooks.html", context, status=refusal.status if refusal else 200)
