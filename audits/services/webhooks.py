"""The life of a subscription: each change of it is an event. How deliveries go is bookkeeping, and leaves none, but
for the one that ends it: an endpoint given up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db.models import Max, QuerySet
from django.utils import timezone

from audits import verbs
from audits.actors import Actor, Command, SubjectRef, authoriser
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Checkpoint, Webhook, WebhookDelivery, Workspace
from audits.outbound import Refused, target_of
from audits.services.steps import stepped
from audits.services.webhook_message import secret_of
from audits.states import DELIVERY, WEBHOOK, DeliveryState, WebhookState

OVERLAP_LIMIT = 168  # hours
KIND = re.compile(r"[a-z_]{1,60}")


@dataclass
class Secret:
    """Filled with the text of a new secret: the only place where Crivo shows it."""

    text: str = ""


def webhooks(actor: Actor) -> QuerySet[Webhook]:
    rows: QuerySet[Webhook] = authoriser().visible(actor, Webhook.objects.exclude(state=WebhookState.DELETED))
    return rows


def webhook(actor: Actor, webhook_id: UUID) -> Webhook:
    row: Webhook | None = webhooks(actor).filter(id=webhook_id).first()
    if row is None:
        raise NotFound("not_found", kind="webhook", name=str(webhook_id))
    return row


def published_size() -> int:
    """Leaves that are in a published checkpoint: what is told of has happened, and grants in it are effective."""
    return Checkpoint.objects.aggregate(size=Max("size"))["size"] or 0


@service("webhook.created")
def create_webhook(
    *,
    command: Command,
    name: str,
    url: str,
    verbs: Sequence[str] = (),
    subject_kinds: Sequence[str] = (),
    refusals: bool = False,
    secret: Secret,
) -> Result[Webhook]:
    """Subscribe an address to what is published from now on."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "webhook.manage", None, remember_on=workspace.ref)
    _checked(workspace.ref, url=url, verbs=verbs, subject_kinds=subject_kinds)
    _name_free(workspace, name, workspace.ref)
    row = Webhook.objects.create(
        workspace=workspace,
        name=name,
        url=url,
        verbs=sorted(set(verbs)),
        subject_kinds=sorted(set(subject_kinds)),
        refusals=refusals,
        cursor=published_size(),
    )
    record(command, verb="webhook.created", subject=row.ref, after=_digest(row), detail=_detail(row))
    _show(row, secret)
    return Result(row)


@service("webhook.changed")
def change_webhook(*, command: Command, webhook_id: UUID, changes: Mapping[str, Any]) -> Result[Webhook]:
    """Change name, url, verbs, subject_kinds, refusals or state (active, disabled). The same values change nothing.

    What waits at a disabled webhook is sent when it is active again; its cursor stands still meanwhile.
    """
    row = _locked(command, webhook_id)
    before = _digest(row)
    given = {name: value for name, value in changes.items() if name != "state"}
    _checked(row.ref, **{key: given[key] for key in ("url", "verbs", "subject_kinds") if key in given})
    if given.get("name", row.name) != row.name:
        _name_free(row.workspace, given["name"], row.ref)
    for name in ("verbs", "subject_kinds"):
        if name in given:
            given[name] = sorted(set(given[name]))
    for name, value in given.items():
        setattr(row, name, value)
    wanted = changes.get("state", row.state)
    if wanted != row.state:
        _move(row, WebhookState(wanted))
        off = wanted == WebhookState.DISABLED
        row.disabled_reason = {"code": "webhook_switched_off", "params": {}} if off else None
        row.failing_since = None
    if _digest(row) == before:
        return Result(row, created=False)
    row.save()
    record(
        command,
        verb="webhook.changed",
        subject=row.ref,
        before=before,
        after=_digest(row),
        detail={**_detail(row), "changed": sorted(changes)},
    )
    return Result(row, created=False)


@service("webhook.deleted")
def delete_webhook(*, command: Command, webhook_id: UUID) -> Result[Webhook]:
    """Nothing more is sent. The row and its deliveries stay for whoever asks later; its address does not."""
    row = _locked(command, webhook_id)
    before = _digest(row)
    _move(row, WebhookState.DELETED)
    row.url, row.generation, row.previous_until = "", row.generation + 1, None
    row.save()
    record(command, verb="webhook.deleted", subject=row.ref, before=before, after=_digest(row))
    return Result(row, created=False)


@service("webhook.secret_rotated")
def rotate_secret(
    *, command: Command, webhook_id: UUID, overlap_hours: int = 24, secret: Secret
) -> Result[Webhook]:
    """A new secret. The old one signs beside it for `overlap_hours`; the one before that ends at once."""
    row = _locked(command, webhook_id)
    if not 0 <= overlap_hours <= OVERLAP_LIMIT:
        raise Unprocessable(
            "webhook_overlap_invalid", subject=row.ref, field="overlap_hours", limit=OVERLAP_LIMIT
        )
    before = _digest(row)
    row.generation += 1
    row.previous_until = timezone.now() + timedelta(hours=overlap_hours)
    row.save()
    record(
        command,
        verb="webhook.secret_rotated",
        subject=row.ref,
        before=before,
        after=_digest(row),
        detail={"overlap_hours": overlap_hours},
    )
    _show(row, secret)
    return Result(row, created=False)


@service("webhook.tested")
def send_test(*, command: Command, webhook_id: UUID) -> Result[Webhook]:
    """Send `crivo.test` to this webhook alone, the way everything goes: through the ledger and the outbox."""
    row = _locked(command, webhook_id)
    if row.state != WebhookState.ACTIVE:
        raise Conflict("webhook_transition", subject=row.ref, state=row.state, wanted=WebhookState.ACTIVE)
    record(command, verb="webhook.tested", subject=row.ref, before=_digest(row), after=_digest(row))
    return Result(row, created=False)


@service("webhook.redelivered")
def redeliver(
    *,
    command: Command,
    webhook_id: UUID,
    delivery_id: UUID | None = None,
    from_index: int | None = None,
    to_index: int | None = None,
) -> Result[Webhook]:
    """Send one delivery again, or those from `from_index` to `to_index` of the log (both inclusive)."""
    row = _locked(command, webhook_id)
    ranged = from_index is not None and to_index is not None
    if (delivery_id is None) != ranged or (from_index is None) != (to_index is None):
        raise Unprocessable("webhook_redelivery_unclear", subject=row.ref)
    settled = [state for state, following in DELIVERY.items() if DeliveryState.PENDING in following]
    wanted = WebhookDelivery.objects.filter(webhook=row, state__in=settled)
    if delivery_id is not None:
        wanted = wanted.filter(id=delivery_id)
    else:
        wanted = wanted.filter(leaf_index__gte=from_index, leaf_index__lte=to_index)
    count = wanted.update(
        state=DeliveryState.PENDING, attempts=0, next_at=timezone.now(), lease_until=None, settled_at=None
    )
    if not count:
        raise Conflict("webhook_nothing_to_redeliver", subject=row.ref)
    asked: dict[str, Any] = (
        {"delivery": str(delivery_id)} if delivery_id else {"from_index": from_index, "to_index": to_index}
    )
    record(command, verb="webhook.redelivered", subject=row.ref, detail={**asked, "count": count})
    return Result(row, created=False)


@service("webhook.disabled")
def disable_webhook(*, command: Command, webhook_id: UUID, why: Message) -> Result[Webhook]:
    """Called by the worker: this address does not answer, or does not want to. Once; later calls change nothing."""
    row = Webhook.objects.get(id=webhook_id)
    lock(row.workspace_id, row.ref)
    row = Webhook.objects.select_for_update().get(id=webhook_id)
    if row.state != WebhookState.ACTIVE:
        return Result(row, created=False)
    before = _digest(row)
    _move(row, WebhookState.DISABLED)
    row.disabled_reason = {"code": why.code, "params": why.params}
    row.save(update_fields=["state", "disabled_reason"])
    record(command, verb="webhook.disabled", subject=row.ref, reason=why, before=before, after=_digest(row))
    return Result(row, created=False)


def _locked(command: Command, webhook_id: UUID) -> Webhook:
    seen = webhook(command.actor, webhook_id)
    lock(seen.workspace_id, seen.ref)
    require(command, "webhook.manage", seen.ref)
    return Webhook.objects.select_for_update(of=("self",)).select_related("workspace").get(id=seen.id)


def _move(row: Webhook, wanted: WebhookState) -> None:
    row.state = stepped("webhook_transition", row.ref, WEBHOOK, row.state, wanted)


def _checked(
    ref: SubjectRef, *, url: str = "", verbs: Sequence[str] = (), subject_kinds: Sequence[str] = ()
) -> None:
    """422 unless it can be called and all names exist. Where the name leads is looked at with every call."""
    if url:
        try:
            target_of(url)
        except Refused as refused:
            message = refused.message
            raise Unprocessable(message.code, subject=ref, field="url", **message.params) from refused
    for verb in verbs:
        if verb not in _known_verbs():
            raise Unprocessable("webhook_verb_unknown", subject=ref, field="verbs", verb=verb[:80])
    for kind in subject_kinds:
        if not KIND.fullmatch(kind):
            raise Unprocessable("webhook_kind_malformed", subject=ref, field="subject_kinds", kind=kind[:80])


def _known_verbs() -> Mapping[str, Any]:
    return verbs.all_verbs()


def _name_free(workspace: Workspace, name: str, ref: SubjectRef) -> None:
    if Webhook.objects.filter(workspace=workspace, name=name).exclude(state=WebhookState.DELETED).exists():
        raise Conflict("webhook_name_taken", subject=ref, name=name)


def _show(row: Webhook, secret: Secret) -> None:
    secret.text = secret_of(row.id, row.generation)


def _digest(row: Webhook) -> str:
    return digest_of(
        {
            "name": row.name,
            "url": row.url,
            "verbs": row.verbs,
            "subject_kinds": row.subject_kinds,
            "refusals": row.refusals,
            "state": row.state,
            "generation": row.generation,
        }
    )


def _detail(row: Webhook) -> dict[str, Any]:
    """Of the address only the host: path and query may be a credential."""
    return {
        "host": urlsplit(row.url).hostname or "",
        "verbs": row.verbs,
        "subject_kinds": row.subject_kinds,
        "refusals": row.refusals,
        "state": row.state,
    }
