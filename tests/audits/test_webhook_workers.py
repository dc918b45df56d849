"""Webhooks and their workers: claims, a worker killed between sending and marking, several at once, the beat."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.ledger.notary import Notary
from audits.models import Leaf, Webhook, WebhookDelivery
from audits.services import webhook_delivery, webhooks
from audits.services.webhook_delivery import MAX_TRIES, claim, deliver, plan
from tests.audits import hooks
from tests.audits.hooks import cast as cast
from tests.audits.hooks import kinds, sequence_of
from tests.audits.hooks import receiver as receiver
from tests.audits.receiver import Receiver, verifies
from tests.audits.test_notary_crashes import environment as environment_of
from tests.audits.trail import in_thread, write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
ROOT = Path(__file__).resolve().parents[2]


def test_planning_again_or_after_a_crash_makes_nothing_twice(
    cast: Cast, notary: Notary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "CHUNK", 2)
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(5, None, cast.workspace.id)
    notary.run_pass()
    with monkeypatch.context() as patch:
        patch.setattr(Webhook, "save", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            plan(webhook.id)
    assert WebhookDelivery.objects.count() == 0
    assert plan(webhook.id) == 5
    assert plan(webhook.id) == 0
    webhook.refresh_from_db()
    assert webhook.cursor == Leaf.objects.count()


def test_a_claim_is_one_workers_and_a_late_one_cannot_mark(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    plan(webhook.id)
    late = claim(webhook.id)
    assert late is not None
    assert claim(webhook.id) is None
    hooks.later(webhook, seconds=61)
    current = claim(webhook.id)
    assert current is not None
    assert current.fence == late.fence + 1
    receiver.answer = lambda body: (500, {}, b"")
    deliver(late)
    row = WebhookDelivery.objects.get(id=late.id)
    assert (row.state, row.fence, row.lease_until is not None) == ("pending", current.fence, True)
    receiver.answer = lambda body: (200, {}, b"")
    deliver(current)
    row.refresh_from_db()
    assert row.state == "delivered"


def test_the_sweep_sends_one_worker_for_each_that_has_something_due(
    cast: Cast, notary: Notary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    reachable = True
    monkeypatch.setattr(
        webhook_delivery.dispatch, "send", lambda task, which: sent.append((task, which)) or reachable
    )
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    hooks.subscribe(cast, receiver.url, name="idle", verbs=["policy.applied"])
    assert webhook_delivery.sweep() == []
    write(1, None, cast.workspace.id)
    notary.run_pass()
    reachable = False
    assert webhook_delivery.sweep() == []
    reachable = True
    assert webhook_delivery.sweep() == [webhook.id]
    assert webhook_delivery.sweep() == []  # its worker is on the way
    assert sent == [("audits.tasks.deliver_webhook", str(webhook.id))] * 2
    Webhook.objects.filter(id=webhook.id).update(busy_until=timezone.now() - timedelta(seconds=1))
    assert webhook_delivery.sweep() == [webhook.id]  # it was lost
    webhook_delivery.deliver_due(webhook.id)
    assert len(receiver.got) == 1


WORKER = """
import django; django.setup()
from django.conf import settings
from uuid import UUID
import sys
from audits.services.webhook_delivery import deliver_due
deliver_due(UUID(sys.argv[1]))
"""


def _worker(webhook: Webhook, receiver: Receiver) -> subprocess.Popen[bytes]:
    environment = {
        **environment_of(Path(django_settings.CRIVO_PUBLISH)),
        "DJANGO_SETTINGS_MODULE": "governance.settings",
        "CRIVO_WEBHOOK_HTTP": "true",
        "CRIVO_WEBHOOK_PORTS": str(receiver.port),
        "CRIVO_WEBHOOK_ALLOW": "127.0.0.1/32",
    }
    return subprocess.Popen([sys.executable, "-c", WORKER, str(webhook.id)], cwd=ROOT, env=environment)


def test_a_worker_killed_between_sending_and_marking_is_made_good(
    cast: Cast, notary: Notary, receiver: Receiver
) -> None:
    """SIGKILL while the receiver has the event and nobody has written so: sent again, and in order."""
    secret = webhooks.Secret()
    url = f"http://127.0.0.1:{receiver.port}/crivo"
    webhook = hooks.subscribe(cast, url, secret, verbs=["dataset.registered"])
    ref = SubjectRef("dataset", uuid7(), "patients")
    write(4, ref, cast.workspace.id)
    notary.run_pass()
    plan(webhook.id)
    killed: list[UUID] = []
    worker: list[subprocess.Popen[bytes]] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if body["data"]["subject_seq"] == 2 and not killed:
            killed.append(UUID(body["id"]))
            os.kill(worker[0].pid, signal.SIGKILL)
            worker[0].wait()
        return 200, {}, b""

    receiver.answer = answer
    worker.append(_worker(webhook, receiver))
    assert worker[0].wait(timeout=60) == -signal.SIGKILL
    states = WebhookDelivery.objects.filter(webhook=webhook).order_by("leaf_index")
    assert [row.state for row in states] == ["delivered", "pending", "pending", "pending"]
    assert claim(webhook.id) is None  # the third does not overtake the second
    hooks.later(webhook, seconds=61)
    second = _worker(webhook, receiver)
    assert second.wait(timeout=60) == 0
    assert [n for _, n in sequence_of(receiver)] == [1, 2, 2, 3, 4]
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids[1] == ids[2] == str(killed[0])
    assert receiver.got[1][1] == receiver.got[2][1]  # the same bytes
    assert all(verifies(secret.text, headers, content) for headers, content in receiver.got)
    assert {row.state for row in states.all()} == {"delivered"}


def test_who_kills_every_worker_is_given_up(cast: Cast, notary: Notary, receiver: Receiver) -> None:
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(1, None, cast.workspace.id)
    notary.run_pass()
    plan(webhook.id)
    for _ in range(MAX_TRIES):
        assert claim(webhook.id) is not None
        hooks.later(webhook, seconds=61)
    hooks.run(webhook)
    delivery = WebhookDelivery.objects.get(webhook=webhook)
    assert delivery.state == "dead"
    assert delivery.tries.get().error == {
        "code": "webhook_killed_workers",
        "params": {"attempts": MAX_TRIES},
    }
    assert receiver.got == []


def test_several_workers_at_once_keep_the_order_of_every_subject(
    cast: Cast, notary: Notary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real connections, an endpoint that fails now and then, no waits: what is received first is in order."""
    monkeypatch.setattr(webhook_delivery, "backoff", lambda attempts, retry_after=None: timedelta(0))
    webhook = hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    subjects = [SubjectRef("dataset", uuid7(), f"d{n}") for n in range(6)]
    for _ in range(8):
        for subject in subjects:
            write(1, subject, cast.workspace.id)
    notary.run_pass()
    plan(webhook.id)
    chance = random.Random(7)
    guard = threading.Lock()
    received: list[tuple[str, int]] = []
    busy: set[str] = set()
    together: list[str] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        subject, n = body["data"]["subject"]["id"], body["data"]["subject_seq"]
        with guard:
            together.extend([subject] if subject in busy else [])
            busy.add(subject)
            fails = chance.random() < 0.2
        time.sleep(0.005)
        with guard:
            busy.discard(subject)
            if not fails:
                received.append((subject, n))
        return (500 if fails else 200), {}, b""

    receiver.answer = answer

    def work() -> None:
        while WebhookDelivery.objects.filter(webhook=webhook, state="pending").exists():
            webhook_delivery.deliver_due(webhook.id)

    for thread in [in_thread(work) for _ in range(4)]:
        thread.join(60)
    assert together == []  # never two of one subject on the way at once
    for subject in subjects:
        assert [n for which, n in received if which == str(subject.id)] == list(range(1, 9))
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_from_the_beat_to_the_receiver(
    cast: Cast, notary: Notary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks by the names they are scheduled and sent under."""
    from celery import current_app

    current_app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in django_settings.CELERY_BEAT_SCHEDULE.values()}
    woken = {task for tasks in django_settings.CRIVO_EVENT_TASKS.values() for task in tasks}
    assert scheduled | woken | {webhook_delivery.TASK} <= set(current_app.tasks)

    def at_once(task: str, *arguments: str) -> bool:
        current_app.tasks[task](*arguments)
        return True

    hooks.subscribe(cast, receiver.url, verbs=["dataset.registered"])
    write(2, None, cast.workspace.id)
    notary.run_pass()
    monkeypatch.setattr(webhook_delivery.dispatch, "send", at_once)
    current_app.tasks["audits.tasks.sweep_webhooks"]()
    assert kinds(receiver) == ["crivo.dataset.registered"] * 2
