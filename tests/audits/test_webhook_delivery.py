"""From the ledger to the receiver: signed, in order, at least once; and what becomes of those who do not answer."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audits import outbound
from audits.actors import Command, SubjectRef, system_actor
from audits.checks.contract import Message
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.notary import Notary
from audits.ledger.record import record
from audits.models import Event, Leaf, Webhook, WebhookAttempt, WebhookDelivery, Workspace
from audits.roles import acting_as_notary
from audits.services import webhooks
from audits.services.webhook_delivery import MAX_TRIES, backoff
from audits.services.webhook_message import signature
from tests.audits import hooks
from tests.audits.hooks import cast as cast
from tests.audits.hooks import kinds, sequence_of
from tests.audits.hooks import receiver as receiver
from tests.audits.receiver import Receiver, verifies
from tests.audits.trail import past_crivo, write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
ROOT = Path(__file__).resolve().parents[2]


def test_the_vector_of_the_specifications_library() -> None:
    """standard-webhooks/standard-webhooks, libraries/python/tests: test_sign_function."""
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_an_event_as_its_receiver_gets_it(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    secret = webhooks.Secret()
    webhook = hooks.subscribe(cast, receiver.url, secret, verbs=["promotion.granted"])
    ref = SubjectRef("promotion", uuid7(), "diabetes@1 → production", "sha256:" + "ab" * 32)
    with transaction.atomic():
        event = record(
            Command(cast.actor("ana")),
            verb="promotion.granted",
            subject=ref,
            texts={"reason": "words of Ana"},
            reason=Message("invalid", {"reason": "words of somebody"}),
            policy={"id": "p", "version": 3, "digest": "sha256:" + "cd" * 32},
            evidence=[{"kind": "dossier", "digest": "sha256:" + "ef" * 32}],
            after="sha256:" + "12" * 32,
            detail={"environment": "production", "version": "7", "query": "words", "to": "words of a person"},
        )
    assert hooks.run(webhook) == 0  # not in the log yet
    notary.run_pass()
    assert hooks.run(webhook) == 1
    headers, content = receiver.got[0]
    assert verifies(secret.text, headers, content)
    assert not verifies(secret.text, headers, content + b" ")
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == str(event.id)
    assert b"words" not in content
    assert b"Ana" not in content
    subject = f"promotion/{ref.id}"
    assert json.loads(content) == {
        "specversion": "1.0",
        "id": str(event.id),
        "source": f"{django_settings.CRIVO_BASE_URL}/workspaces/default",
        "type": "crivo.promotion.granted",
        "subject": subject,
        "time": timestamp(event.at),
        "datacontenttype": "application/json",
        "partitionkey": subject,
        "sequence": "00000000000000000001",
        "data": {
            "actor": {"id": str(cast.people["ana"].id), "kind": "person"},
            "at": timestamp(event.at),
            "correlation_id": str(event.correlation_id),
            "request_id": str(event.request_id),
            "outcome": "done",
            "verb": "promotion.granted",
            "workspace": str(cast.workspace.id),
            "subject": {
                "kind": "promotion",
                "id": str(ref.id),
                "label": "diabetes@1 → production",
                "digest": "sha256:" + "ab" * 32,
            },
            "subject_seq": 1,
            "log_index": Leaf.objects.get(event=event).index,
            "reason": "invalid",
            "policy": {"id": "p", "version": 3, "digest": "sha256:" + "cd" * 32},
            "evidence": [{"kind": "dossier", "digest": "sha256:" + "ef" * 32}],
            "before": None,
            "after": "sha256:" + "12" * 32,
            "detail": {"environment": "production", "version": "7"},
        },
    }


@pytest.mark.parametrize(
    ("kind", "label"), [("token", "joana"), ("promotion", "ask Joana first"), ("finding", "broken")]
)
def test_labels_that_may_be_words_of_people_stay_here(
    cast: Cast, notary: Notary, receiver: Receiver, kind: str, label: str
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, SubjectRef(kind, uuid7(), label), cast.workspace.id)
    notary.run_pass()
    hooks.run(webhook)
    assert "label" not in receiver.bodies[0]["data"]["subject"]


def test_only_what_was_subscribed_to(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    """Verbs, kinds, refusals, and never another workspace."""
    command = Command(system_actor("shell", cast.workspace.id))
    webhook = hooks.subscribe(
        cast, receiver.url, verbs=["model.registered", "promotion.granted"], subject_kinds=["model"]
    )
    refusals = hooks.subscribe(cast, receiver.url, name="refusals", verbs=["model.registered"], refusals=True)
    with transaction.atomic():
        record(command, verb="model.registered", subject=SubjectRef("model", uuid7(), "a"))
        record(command, verb="model.registered", subject=SubjectRef("model", uuid7(), "b"), outcome="refused")
        record(command, verb="model.registered", subject=SubjectRef("dataset", uuid7(), "c"))
        record(command, verb="dataset.registered", subject=SubjectRef("model", uuid7(), "d"))
        elsewhere = Command(system_actor("shell", cast.elsewhere.id))
        record(elsewhere, verb="model.registered", subject=SubjectRef("model", uuid7(), "e"))
    notary.run_pass()
    assert hooks.run(webhook) == 1
    assert [body["data"]["subject"].get("label") for body in receiver.bodies] == ["a"]
    receiver.got.clear()
    assert hooks.run(refusals) == 3
    assert kinds(receiver) == [
        "crivo.model.registered",
        "crivo.model.registered.refused",
        "crivo.model.registered",
    ]
    assert hooks.run(webhook) == hooks.run(refusals) == 0


def test_what_is_sequenced_but_not_published_waits(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    """A grant must be effective when its receiver hears of it."""
    webhook = hooks.subscribe(cast, receiver.url)
    notary.run_pass()
    hooks.run(webhook)
    write(1, None, cast.workspace.id)
    with acting_as_notary():
        notary._sequence([])
    assert Leaf.objects.count() == Event.objects.count()
    assert hooks.run(webhook) == 0
    notary.run_pass()
    assert hooks.run(webhook) == 1


def test_two_secrets_sign_while_a_rotation_lasts(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    first, second, third = webhooks.Secret(), webhooks.Secret(), webhooks.Secret()
    webhook = hooks.subscribe(cast, receiver.url, first, verbs=["dataset.registered"])

    def valid() -> list[bool]:
        write(1, None, cast.workspace.id)
        notary.run_pass()
        hooks.run(webhook)
        headers, content = receiver.got[-1]
        return [verifies(secret.text or "whsec_", headers, content) for secret in (first, second, third)]

    assert valid() == [True, False, False]
    command = hooks.administrator(cast)
    webhooks.rotate_secret(command=command, webhook_id=webhook.id, overlap_hours=1, secret=second)
    assert valid() == [True, True, False]
    assert receiver.got[-1][0]["webhook-signature"].count("v1,") == 2
    webhooks.rotate_secret(
        command=hooks.administrator(cast), webhook_id=webhook.id, overlap_hours=1, secret=third
    )
    assert valid() == [False, True, True]
    Webhook.objects.filter(id=webhook.id).update(previous_until=timezone.now() - timedelta(seconds=1))
    assert valid() == [False, False, True]
    assert len({first.text, second.text, third.text}) == 3


def test_a_subject_that_is_refused_keeps_its_order_and_nobody_else_waits(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    slow, other = (SubjectRef("dataset", uuid7(), name) for name in ("slow", "other"))
    for _ in range(3):
        write(1, slow, cast.workspace.id)
        write(1, other, cast.workspace.id)
    notary.run_pass()
    down = True
    receiver.answer = lambda body: (
        503 if down and body["data"]["subject"]["label"] == "slow" else 200,
        {},
        b"",
    )
    assert hooks.run(webhook) == 4
    assert [entry for entry in sequence_of(receiver) if entry[0] == str(other.id)] == [
        (str(other.id), n) for n in (1, 2, 3)
    ]
    assert [entry for entry in sequence_of(receiver) if entry[0] == str(slow.id)] == [(str(slow.id), 1)]
    assert hooks.run(webhook) == 0  # it is waited for
    seen = len(receiver.got)
    down = False
    hooks.later(webhook, seconds=7)
    assert hooks.run(webhook) == 3
    assert sequence_of(receiver)[seen:] == [(str(slow.id), n) for n in (1, 2, 3)]
    assert {body["id"] for body in receiver.bodies} == {
        str(event) for event in Event.objects.filter(verb="dataset.registered").values_list("id", flat=True)
    }
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == 7  # six events, one of them tried twice under the same id
    assert len(set(ids)) == 6


def test_the_waits_grow_and_are_spread() -> None:
    for attempts, seconds in ((1, 5), (2, 15), (3, 45), (8, 5 * 3**7), (9, 32_805), (13, 43_200)):
        waits = [backoff(attempts).total_seconds() for _ in range(200)]
        assert 0.8 * seconds <= min(waits) < seconds < max(waits) <= 1.2 * seconds
    assert backoff(1, retry_after=600).total_seconds() == 600
    assert backoff(1, retry_after=999_999).total_seconds() == 43_200
    total = sum(min(5 * 3 ** (n - 1), 43_200) for n in range(1, MAX_TRIES))
    assert 2 <= total / 86_400 <= 3


def test_dead_after_so_many_tries_then_sent_again_when_asked(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    ref = SubjectRef("dataset", uuid7(), "patients")
    write(2, ref, cast.workspace.id)
    notary.run_pass()
    receiver.answer = lambda body: (500 if body["data"]["subject_seq"] == 1 else 200, {}, b"no\x00thing")
    for _ in range(MAX_TRIES):
        assert hooks.run(webhook) >= 1
        Webhook.objects.filter(id=webhook.id).update(failing_since=None)
        WebhookDelivery.objects.filter(webhook=webhook, state="pending").update(next_at=timezone.now())
    hooks.run(webhook)
    first, second = WebhookDelivery.objects.filter(webhook=webhook).order_by("leaf_index")
    assert (first.state, first.attempts, second.state) == ("dead", MAX_TRIES, "delivered")
    assert [n for _, n in sequence_of(receiver)] == [1] * MAX_TRIES + [2]
    tries = WebhookAttempt.objects.filter(delivery=first)
    assert {row.status for row in tries} == {500}
    assert {row.excerpt for row in tries} == {"no\ufffdthing"}
    assert all(0 <= row.latency_ms < 5_000 for row in tries)
    assert tries[0].error == {"code": "webhook_status", "params": {"status": 500}}
    receiver.got.clear()
    receiver.answer = lambda body: (200, {}, b"")
    webhooks.redeliver(command=hooks.administrator(cast), webhook_id=webhook.id, delivery_id=first.id)
    assert hooks.run(webhook) == 1
    assert sequence_of(receiver) == [(str(ref.id), 1)]
    webhooks.redeliver(
        command=hooks.administrator(cast), webhook_id=webhook.id, from_index=0, to_index=second.leaf_index
    )
    assert hooks.run(webhook) == 2
    assert [n for _, n in sequence_of(receiver)] == [1, 1, 2]


def test_an_endpoint_that_never_answers_is_disabled_and_everybody_can_see_it(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    receiver.answer = lambda body: (500, {}, b"")
    hooks.run(webhook)
    hooks.later(webhook, days=2.9)
    hooks.run(webhook)
    webhook.refresh_from_db()
    assert webhook.state == "active"
    hooks.later(webhook, days=0.2)
    hooks.run(webhook)
    webhook.refresh_from_db()
    assert webhook.state == "disabled"
    assert webhook.disabled_reason == {"code": "webhook_failing", "params": {"days": 3}}
    event = Event.objects.get(verb="webhook.disabled")
    assert event.reason == webhook.disabled_reason
    assert (event.actor_kind, event.subject_id) == ("system", webhook.id)
    write(2, None, cast.workspace.id)
    notary.run_pass()
    hooks.later(webhook, days=1)
    assert hooks.run(webhook) == 0
    receiver.got.clear()
    receiver.answer = lambda body: (200, {}, b"")
    webhooks.change_webhook(
        command=hooks.administrator(cast), webhook_id=webhook.id, changes={"state": "active"}
    )
    assert hooks.run(webhook) == 3  # nothing was lost meanwhile
    webhook.refresh_from_db()
    assert (webhook.failing_since, webhook.disabled_reason) == (None, None)


def test_one_success_ends_the_failing(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    receiver.answer = lambda body: (500, {}, b"")
    hooks.run(webhook)
    webhook.refresh_from_db()
    assert webhook.failing_since is not None
    receiver.answer = lambda body: (200, {}, b"")
    hooks.later(webhook, days=2)
    hooks.run(webhook)
    webhook.refresh_from_db()
    assert webhook.failing_since is None


def test_gone_is_gone(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(3, None, cast.workspace.id)
    notary.run_pass()
    receiver.answer = lambda body: (410, {}, b"")
    assert hooks.run(webhook) == 1
    webhook.refresh_from_db()
    assert (webhook.state, webhook.disabled_reason["code"]) == ("disabled", "webhook_gone")
    assert WebhookDelivery.objects.filter(webhook=webhook, state="pending").count() == 3


def test_a_test_goes_to_the_one_tested_whatever_it_filters(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"], subject_kinds=["dataset"])
    everything = hooks.subscribe(cast, receiver.url, name="everything")
    notary.run_pass()
    hooks.run(everything)
    receiver.got.clear()
    webhooks.send_test(command=hooks.administrator(cast), webhook_id=webhook.id)
    notary.run_pass()
    assert hooks.run(webhook) == 1
    assert kinds(receiver) == ["crivo.test"]
    assert hooks.run(everything) == 0


def test_an_event_changed_past_crivo_is_not_sent(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    [event] = write(1, None, cast.workspace.id)
    notary.run_pass()
    past_crivo("UPDATE audits_event SET actor_kind = 'person' WHERE id = %s", parameters=(str(event.id),))
    hooks.run(webhook)
    assert receiver.got == []
    delivery = WebhookDelivery.objects.get(webhook=webhook)
    assert delivery.state == "dead"
    assert delivery.tries.get().error["code"] == "entry_damaged"


def test_an_address_that_turned_inwards_is_a_failed_try(
    cast: Cast, notary: Notary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    monkeypatch.setattr(outbound, "system_resolver", lambda host, port: ["169.254.169.254"])
    hooks.run(webhook)
    delivery = WebhookDelivery.objects.get(webhook=webhook)
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert delivery.tries.get().error == {"code": "webhook_address_refused", "params": {"host": hooks.NAME}}


def test_the_log_of_tries_only_grows(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    hooks.run(webhook)
    for statement in ("UPDATE audits_webhook_attempt SET status = 1", "DELETE FROM audits_webhook_attempt"):
        with (
            pytest.raises(Exception, match=r"never changed or removed|permission denied"),
            transaction.atomic(),
        ):
            connection.cursor().execute(statement)
    with pytest.raises(IntegrityError), transaction.atomic():
        WebhookDelivery.objects.update(state="lost")


def test_a_workspace_hears_nothing_of_another(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url)
    notary.run_pass()
    hooks.run(webhook)
    receiver.got.clear()
    elsewhere = Workspace.objects.get(name="elsewhere")
    write(3, None, elsewhere.id)
    notary.run_pass()
    assert hooks.run(webhook) == 0
    webhook.refresh_from_db()
    assert webhook.cursor == Leaf.objects.count()
