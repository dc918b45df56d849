from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audits.ids import uuid7
from audits.models import Event, Webhook, WebhookAttempt, WebhookDelivery
from tests.audits import hooks
from tests.cast import Cast
from tests.console.markup import read
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
SignIn = Callable[[str], Client]
URL = "https://hooks.example/in?token=do-not-tell"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    hooks.administrator(committed_cast)
    return committed_cast


@pytest.fixture
def webhook(cast: Cast) -> Webhook:
    return hooks.subscribe(cast, URL)


@pytest.fixture
def dead(webhook: Webhook) -> WebhookDelivery:
    now = timezone.now()
    event = Event.objects.get(verb="webhook.created")
    delivery = WebhookDelivery.objects.create(
        webhook=webhook, event=event, leaf_index=0, subject_kind="webhook", subject_id=webhook.id,
        state="dead", next_at=now, settled_at=now,
    )  # fmt: skip
    WebhookAttempt.objects.create(
        delivery=delivery, at=now, status=500, latency_ms=41, excerpt="<script>",
        error={"code": "webhook_status", "params": {"status": 500}},
    )  # fmt: skip
    return delivery


def test_what_is_shown(as_person: SignIn, webhook: Webhook, dead: WebhookDelivery) -> None:
    response = as_person("ada").get(reverse("admin:webhooks"))
    page = read(response)
    assert "unsafe" not in response["Content-Security-Policy"]
    for text in ("receiver", "hooks.example", "active", "crivo.webhook.created", "500", "41", "given up"):
        assert text in page.text
    assert "do-not-tell" not in page.text
    assert "Only 2xx" not in page.text
    Webhook.objects.filter(id=webhook.id).update(
        state="disabled", disabled_reason={"code": "webhook_failing", "params": {"days": 3}}
    )
    assert (
        "No delivery has succeeded for 3 days." in read(as_person("ada").get(reverse("admin:webhooks"))).text
    )


def test_a_test_and_sending_again(as_person: SignIn, webhook: Webhook, dead: WebhookDelivery) -> None:
    ada, act = as_person("ada"), reverse("admin:webhook", args=[webhook.id])
    assert ada.get(act).status_code == 405
    assert ada.post(act).status_code == 302
    assert Event.objects.get(verb="webhook.tested").subject_id == webhook.id
    assert ada.post(act, {"delivery": str(dead.id)}).status_code == 302
    dead.refresh_from_db()
    assert dead.state == "pending"
    with unchanged(refusals=1):
        answer = ada.post(act, {"delivery": str(dead.id)})
        assert answer.status_code == 409
        assert "Nothing that was sent or given up is in that range." in read(answer).text
    with unchanged(refusals=1):
        assert ada.post(act, {"delivery": "no id"}).status_code == 422
    with unchanged(refusals=0):
        assert ada.post(reverse("admin:webhook", args=[uuid7()])).status_code == 404


def test_nobody_else(as_person: SignIn, webhook: Webhook) -> None:
    for name in ("ana", "bruno", "bia", "clara", "rita", "davi"):
        client = as_person(name)
        response = client.get(reverse("admin:webhooks"))
        assert response.status_code == 403
        assert reverse("admin:webhooks") not in read(client.get(reverse("admin:inbox"))).links
        with unchanged(refusals=0):
            assert client.post(reverse("admin:webhook", args=[webhook.id])).status_code == 404
            assert client.post(reverse("admin:webhook", args=[uuid4()])).status_code == 404
    assert reverse("admin:webhooks") in read(as_person("ada").get(reverse("admin:inbox"))).links
