"""The outbox is the ledger: a cursor over its published leaves makes deliveries, and workers send them.

1. `plan` moves the cursor and writes the deliveries it passed in one transaction: none is missed, none made twice.
2. `claim` takes a delivery only when no earlier one of the same subject is pending: within a subject, the order of
   the log is the order of receipt. Other subjects do not wait for a subject that is refused.
3. A delivery is marked after the receiver's 2xx. A worker that dies between the two leaves it pending: it is sent
   again, with the same webhook-id, when its lease has run out. So every event arrives at least once.
4. Whoever lost the lease (a worker thought dead) cannot mark: the fence has moved on.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from audits import dispatch, outbound
from audits.actors import Command, system_actor
from audits.checks.contract import Message
from audits.ledger.receipts import EntryDamaged
from audits.models import Leaf, Webhook, WebhookAttempt, WebhookDelivery
from audits.services.webhook_message import TEST_VERB, body_for, headers_for
from audits.services.webhooks import disable_webhook, published_size
from audits.states import DELIVERY, DeliveryState, WebhookState, step

TASK = "audits.tasks.deliver_webhook"
CHUNK = 1_000  # leaves looked at in one transaction
LEASE = timedelta(seconds=60)  # longer than one call may take (outbound.SECONDS, and a look-up of the name)
BUSY = timedelta(seconds=90)
SHIFT_SECONDS = 30.0  # one task sends for so long, then another goes on
MAX_TRIES = 14  # with the waits below: given up after some 60 hours
FIRST_WAIT, GROWTH, LONGEST_WAIT = 5.0, 3.0, 12 * 3600.0  # seconds
DISABLE_AFTER = timedelta(days=3)
log = logging.getLogger(__name__)


def backoff(attempts: int, retry_after: int | None = None) -> timedelta:
    """How long to wait after so many tries: 5 s, 15 s, 45 s … 12 h, ±20 %; not before the receiver's Retry-After."""
    wait = min(FIRST_WAIT * GROWTH ** (attempts - 1), LONGEST_WAIT)
    wait *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
    return timedelta(seconds=max(wait, min(retry_after or 0, LONGEST_WAIT)))


def sweep() -> list[UUID]:
    """Look at the ledger for every subscription, and send a worker for each that has something due. Their ids."""
    now = timezone.now()
    sent = []
    idle = Q(busy_until=None) | Q(busy_until__lt=now)
    for webhook_id in list(
        Webhook.objects.filter(idle, state=WebhookState.ACTIVE).values_list("id", flat=True)
    ):
        plan(webhook_id)
        if not WebhookDelivery.objects.filter(
            webhook_id=webhook_id, state=DeliveryState.PENDING, next_at__lte=timezone.now()
        ).exists():
            continue
        if not Webhook.objects.filter(idle, id=webhook_id).update(busy_until=now + BUSY):
            continue
        if dispatch.send(TASK, str(webhook_id)):
            sent.append(webhook_id)
        else:
            Webhook.objects.filter(id=webhook_id).update(busy_until=None)
    return sent


def plan(webhook_id: UUID) -> int:
    """Write down what this subscription is to be told of, up to the newest checkpoint. How many deliveries."""
    end, made = published_size(), 0
    while (step_made := _plan_chunk(webhook_id, end)) is not None:
        made += step_made
    return made


def _plan_chunk(webhook_id: UUID, end: int) -> int | None:
    with transaction.atomic():
        webhook = (
            Webhook.objects.select_for_update(skip_locked=True)
            .filter(id=webhook_id, state=WebhookState.ACTIVE, cursor__lt=end)
            .first()
        )
        if webhook is None:
            return None
        upto = min(webhook.cursor + CHUNK, end)
        leaves = (
            Leaf.objects.filter(index__gte=webhook.cursor, index__lt=upto)
            .filter(event__workspace_id=webhook.workspace_id)
            .filter(_wanted(webhook))
            .select_related("event")
            .order_by("index")
        )
        now = timezone.now()
        made = WebhookDelivery.objects.bulk_create(
            WebhookDelivery(
                webhook=webhook,
                event=leaf.event,
                leaf_index=leaf.index,
                subject_kind=leaf.event.subject_kind,
                subject_id=leaf.event.subject_id,
                next_at=now,
            )
            for leaf in leaves
        )
        webhook.cursor = upto
        webhook.save(update_fields=["cursor"])
        return len(made)


def _wanted(webhook: Webhook) -> Q:
    """The filter of a subscription. A test concerns the webhook that is tested, whatever it filters, and no other."""
    wanted = ~Q(event__verb=TEST_VERB)
    if webhook.verbs:
        wanted &= Q(event__verb__in=webhook.verbs)
    if webhook.subject_kinds:
        wanted &= Q(event__subject_kind__in=webhook.subject_kinds)
    if not webhook.refusals:
        wanted &= Q(event__outcome="done")
    return wanted | Q(event__verb=TEST_VERB, event__subject_id=webhook.id, event__outcome="done")


def deliver_due(webhook_id: UUID) -> int:
    """Send what is due for one subscription, in order, for one shift. How many tries."""
    until, tries = time.monotonic() + SHIFT_SECONDS, 0
    while time.monotonic() < until:
        Webhook.objects.filter(id=webhook_id).update(busy_until=timezone.now() + BUSY)
        delivery = claim(webhook_id)
        if delivery is None:
            break
        tries += 1
        deliver(delivery)
    Webhook.objects.filter(id=webhook_id).update(busy_until=None)
    return tries


def claim(webhook_id: UUID) -> WebhookDelivery | None:
    """The next delivery that may go out, leased to the caller; None: nothing is due, or others are at it."""
    now = timezone.now()
    earlier = WebhookDelivery.objects.filter(
        webhook=OuterRef("webhook"),
        subject_kind=OuterRef("subject_kind"),
        subject_id=OuterRef("subject_id"),
        leaf_index__lt=OuterRef("leaf_index"),
        state=DeliveryState.PENDING,
    )
    with transaction.atomic():
        found = (
            WebhookDelivery.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(~Exists(earlier), webhook_id=webhook_id, state=DeliveryState.PENDING, next_at__lte=now)
            .filter(Q(lease_until=None) | Q(lease_until__lt=now), webhook__state=WebhookState.ACTIVE)
            .order_by("leaf_index")
            .first()
        )
        if found is None:
            return None
        WebhookDelivery.objects.filter(id=found.id).update(
            lease_until=now + LEASE, fence=F("fence") + 1, attempts=F("attempts") + 1
        )
    return WebhookDelivery.objects.select_related("webhook").get(id=found.id)


def deliver(delivery: WebhookDelivery) -> DeliveryState:
    """One try, outside any transaction, and what came of it. Never raises for what the receiver does."""
    webhook = delivery.webhook
    if delivery.attempts > MAX_TRIES:  # the worker of the last try never came back
        why = Message("webhook_killed_workers", {"attempts": delivery.attempts - 1})
        return _failed(delivery, _attempt(delivery, timezone.now(), 0, error=why), final=True)
    started, clock = timezone.now(), time.monotonic()
    try:
        leaf = Leaf.objects.select_related("event__workspace").filter(event_id=delivery.event_id).first()
        if leaf is None:
            why = Message("webhook_event_pruned")
            return _failed(delivery, _attempt(delivery, started, clock, error=why), final=True)
        body = body_for(leaf)
        answer = outbound.post(webhook.url, body, headers_for(webhook, str(delivery.event_id), body, started))
    except EntryDamaged as damaged:
        log.exception("event %s is not the one that was logged: not sent", delivery.event_id)
        return _failed(delivery, _attempt(delivery, started, clock, error=damaged.message), final=True)
    except (outbound.Refused, outbound.Unanswered) as why_not:
        return _failed(delivery, _attempt(delivery, started, clock, error=why_not.message))
    attempt = _attempt(delivery, started, clock, answer=answer)
    if 200 <= answer.status < 300:
        return _delivered(delivery, attempt)
    attempt.error = {"code": "webhook_status", "params": {"status": answer.status}}
    state = _failed(delivery, attempt, retry_after=answer.retry_after)
    if answer.status == 410:
        _disable(webhook, Message("webhook_gone"))
    return state


def _attempt(
    delivery: WebhookDelivery,
    started: datetime,
    clock: float,
    *,
    error: Message | None = None,
    answer: outbound.Answer | None = None,
) -> WebhookAttempt:
    return WebhookAttempt(
        delivery=delivery,
        at=started,
        status=answer.status if answer else None,
        latency_ms=round((time.monotonic() - clock) * 1000) if clock else 0,
        error={"code": error.code, "params": error.params} if error else None,
        excerpt=answer.excerpt.replace("\x00", "\ufffd") if answer else "",
    )


def _mark(
    delivery: WebhookDelivery, attempt: WebhookAttempt, wanted: DeliveryState, next_at: datetime
) -> bool:
    """Write the try down, and its result if the lease is still ours."""
    now = timezone.now()
    state = wanted if wanted == delivery.state else step(DELIVERY, delivery.state, wanted)
    with transaction.atomic():
        attempt.save(force_insert=True)
        return bool(
            WebhookDelivery.objects.filter(
                id=delivery.id, fence=delivery.fence, state=DeliveryState.PENDING
            ).update(
                state=state,
                next_at=next_at,
                lease_until=None,
                settled_at=None if state == DeliveryState.PENDING else now,
            )
        )


def _delivered(delivery: WebhookDelivery, attempt: WebhookAttempt) -> DeliveryState:
    _mark(delivery, attempt, DeliveryState.DELIVERED, delivery.next_at)
    Webhook.objects.filter(id=delivery.webhook_id, failing_since__isnull=False).update(failing_since=None)
    return DeliveryState.DELIVERED


def _failed(
    delivery: WebhookDelivery, attempt: WebhookAttempt, *, final: bool = False, retry_after: int | None = None
) -> DeliveryState:
    now = timezone.now()
    dead = final or delivery.attempts >= MAX_TRIES
    state = DeliveryState.DEAD if dead else DeliveryState.PENDING
    _mark(delivery, attempt, state, now + backoff(delivery.attempts, retry_after))
    Webhook.objects.filter(id=delivery.webhook_id, failing_since=None).update(failing_since=now)
    since = Webhook.objects.values_list("failing_since", flat=True).get(id=delivery.webhook_id)
    if since is not None and since <= now - DISABLE_AFTER:
        _disable(delivery.webhook, Message("webhook_failing", {"days": DISABLE_AFTER.days}))
    return state


def _disable(webhook: Webhook, why: Message) -> None:
    command = Command(system_actor("worker", webhook.workspace_id))
    disable_webhook(command=command, webhook_id=webhook.id, why=why)
