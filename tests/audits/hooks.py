"""An administrator, a subscription to a receiver on the loopback, and the time that passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from audits import outbound
from audits.actors import Command, system_actor
from audits.ledger.notary import Notary
from audits.models import Webhook, WebhookDelivery
from audits.services import webhook_delivery, webhooks
from governance.models import User
from governance.services.identity import bind_role
from tests.audits.receiver import Receiver
from tests.cast import Cast

NAME = "hooks.example"


def open_to(settings: Any, receiver: Receiver) -> None:
    settings.CRIVO_WEBHOOK_HTTP = True
    settings.CRIVO_WEBHOOK_PORTS = [443, 8443, receiver.port]
    settings.CRIVO_WEBHOOK_ALLOW = ["127.0.0.1/32"]


def administrator(cast: Cast) -> Command:
    if "ada" not in cast.people:
        cast.people["ada"] = User.objects.create_user(username="ada", first_name="Ada", is_staff=True)
        shell = Command(system_actor("shell", cast.workspace.id))
        bind_role(command=shell, role="administrator", person=cast.people["ada"])
    return cast.command("ada")


def subscribe(cast: Cast, url: str, secret: webhooks.Secret | None = None, **more: Any) -> Webhook:
    given = {"name": "receiver", "url": url, "secret": secret or webhooks.Secret(), **more}
    return webhooks.create_webhook(command=administrator(cast), **given).value


def run(webhook: Webhook) -> int:
    """What the sweep and its worker do."""
    webhook_delivery.plan(webhook.id)
    return webhook_delivery.deliver_due(webhook.id)


def later(webhook: Webhook, **span: float) -> None:
    """So much time passes for the deliveries of this subscription, and for its failing."""
    WebhookDelivery.objects.filter(webhook=webhook).update(
        next_at=F("next_at") - timedelta(**span), lease_until=F("lease_until") - timedelta(**span)
    )
    Webhook.objects.filter(id=webhook.id).update(failing_since=F("failing_since") - timedelta(**span))


@pytest.fixture
def receiver(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    open_to(settings, receiver)
    monkeypatch.setattr(outbound, "system_resolver", lambda host, port: ["127.0.0.1"])
    yield receiver
    receiver.close()


@pytest.fixture
def cast(committed_cast: Cast, notary: Notary) -> Cast:
    notary.run_pass()
    return committed_cast


def kinds(receiver: Receiver) -> list[str]:
    return [body["type"] for body in receiver.bodies]


def sequence_of(receiver: Receiver) -> list[tuple[str, int]]:
    return [(body["data"]["subject"]["id"], body["data"]["subject_seq"]) for body in receiver.bodies]
