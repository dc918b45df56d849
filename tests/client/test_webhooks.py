"""Subscriptions by SDK and command, against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audits import outbound
from audits.models import Webhook
from governance.client import Crivo, Refused
from tests import study
from tests.audits import hooks
from tests.audits.receiver import Receiver
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command, crivo_of  # noqa: F401

Command = Callable[..., Ran]
URL = "https://hooks.example/in"


@pytest.fixture(autouse=True)
def receiver(
    live_server: Any, committed_cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
    receiver = Receiver()
    hooks.administrator(committed_cast)
    hooks.open_to(settings, receiver)
    monkeypatch.setattr(outbound, "system_resolver", lambda host, port: ["127.0.0.1"])
    yield receiver
    receiver.close()


def test_from_the_first_subscription_to_the_last(command: Command, receiver: Receiver) -> None:  # noqa: F811
    made = command("ada", "webhook", "add", "siem", receiver.url, "--verb", "promotion.granted", "--refusals")
    assert made.code == 0, made.err
    secret = made.out.splitlines()[-1]
    assert secret.startswith("whsec_")
    listed = command("ada", "webhook", "list")
    assert "promotion.granted" in listed.out
    assert secret not in listed.out
    row = json.loads(command("ada", "webhook", "list", "--json").out)[0]
    assert (row["verbs"], row["refusals"], row["state"]) == (["promotion.granted"], True, "active")
    assert "disabled" in command("ada", "webhook", "change", "siem", "--state", "disabled").out
    assert (
        "active" in command("ada", "webhook", "change", row["id"], "--state", "active", "--name", "soc").out
    )
    turned = command("ada", "webhook", "secret", "soc", "--overlap-hours", "1").out.splitlines()[-1]
    assert turned.startswith("whsec_")
    assert turned != secret
    assert "on its way" in command("ada", "webhook", "test", "soc").out
    study.sequence()
    hooks.run(Webhook.objects.get())
    log = json.loads(command("ada", "webhook", "deliveries", "soc", "--json").out)
    assert [(item["type"], item["state"]) for item in log] == [("crivo.test", "delivered")]
    assert "crivo.test" in command("ada", "webhook", "deliveries", "soc").out
    again = command("ada", "webhook", "redeliver", "soc", "--delivery", log[0]["id"])
    assert (again.code, "1 waiting" in again.out) == (0, True), again.err
    assert command("ada", "webhook", "redeliver", "soc").code == 2
    assert command("ada", "webhook", "remove", "soc").code == 0
    assert command("ada", "webhook", "list", "--json").out.strip() == "[]"
    assert command("ada", "webhook", "remove", "soc").code == 2


def test_who_may_not_is_told_so(command: Command) -> None:  # noqa: F811
    ran = command("bruno", "webhook", "add", "mine", URL)
    assert (ran.code, Webhook.objects.count()) == (1, 0)
    assert "webhook.manage" in ran.err


def test_a_change_of_what_was_not_seen(crivo_of: Callable[[str], Crivo]) -> None:  # noqa: F811
    crivo = crivo_of("ada")
    made = crivo.add_webhook("siem", URL)
    seen = crivo.webhook(made.id)
    assert seen.etag
    assert crivo.change_webhook(made.id, if_match=seen.etag, name="soc").name == "soc"
    with pytest.raises(Refused) as refused:
        crivo.change_webhook(made.id, if_match=seen.etag, name="other")
    assert refused.value.code == "precondition_failed"
    assert crivo.webhook(made.id).name == "soc"
    assert "whsec_" not in repr(made)
