"""What a receiver gets: a CloudEvents 1.0 body in structured mode, signed as Standard Webhooks 1.0.0 says.

The body holds the head of the event and those parts that nobody can have written a sentence into: never a text of a
person, a parameter of a message, or the name of anything that is not a registered name. Whoever needs more asks the
API with the id, and is asked who they are.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings

from audits.keys import pepper
from audits.ledger.body import timestamp
from audits.ledger.entry import body_of
from audits.ledger.receipts import EntryDamaged
from audits.ledger.tree import leaf_hash
from audits.models import Leaf, Webhook

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
TEST_VERB = "webhook.tested"
# Labels of these are made of registered names (slugs, versions, environments); all others may be words of people.
NAMED_KINDS = frozenset(
    {
        "dataset",
        "dataset_version",
        "model",
        "model_version",
        "promotion",
        "placement",
        "use_case",
        "environment",
    }
)
_NAMES = re.compile(r"[a-z0-9][a-z0-9._@-]*(?: (?:→|in) [a-z0-9._-]+)?")
PUBLIC_DETAIL = frozenset({"environment", "to", "version", "verdict", "role"})
_WORD = re.compile(r"[A-Za-z0-9._@-]{1,100}")


def secret_of(webhook_id: UUID, generation: int) -> str:
    """`whsec_` and 32 bytes in base64. Derived, so that a copy of the database signs nothing."""
    label = f"crivo webhook secret v1\n{webhook_id}\n{generation}".encode()
    return "whsec_" + base64.b64encode(hmac.new(pepper(), label, sha256).digest()).decode()


def signature(secret: str, message_id: str, sent_at: int, body: bytes) -> str:
    """`v1,<base64>` over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()


def headers_for(webhook: Webhook, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of one try. While a rotated secret is still valid, both sign: the receiver may change over when it
    likes.
    """
    sent_at = int(now.timestamp())
    generations = [webhook.generation]
    if webhook.generation > 1 and webhook.previous_until is not None and webhook.previous_until > now:
        generations.append(webhook.generation - 1)
    signatures = [
        signature(secret_of(webhook.id, generation), message_id, sent_at, body) for generation in generations
    ]
    return {
        "Content-Type": MEDIA_TYPE,
        "User-Agent": "Crivo-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(signatures),
    }


def type_of(verb: str, outcome: str) -> str:
    if verb == TEST_VERB and outcome == "done":
        return "crivo.test"
    return f"crivo.{verb}" if outcome == "done" else f"crivo.{verb}.refused"


def body_for(leaf: Leaf) -> bytes:
    """The same bytes for every try. EntryDamaged if the event is not the one that was logged."""
    event = leaf.event
    try:
        entry = body_of(event, event.workspace.salt)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EntryDamaged.at(leaf.index, event.id) from error
    if leaf_hash(entry.envelope) != bytes(leaf.hash):
        raise EntryDamaged.at(leaf.index, event.id)
    head: dict[str, Any] = json.loads(entry.head)
    subject: dict[str, Any] = {**head["subject"], "digest": event.subject_digest or None}
    if event.subject_kind in NAMED_KINDS and _NAMES.fullmatch(event.subject_label):
        subject["label"] = event.subject_label
    detail = {
        name: value
        for name, value in event.detail.items()
        if name in PUBLIC_DETAIL and isinstance(value, str) and _WORD.fullmatch(value)
    }
    policy = event.policy and {name: event.policy[name] for name in ("id", "version", "digest")}
    body = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": f"{settings.CRIVO_BASE_URL.rstrip('/')}/workspaces/{event.workspace.name}",
        "type": type_of(event.verb, event.outcome),
        "subject": f"{event.subject_kind}/{event.subject_id}",
        "time": timestamp(event.at),
        "datacontenttype": "application/json",
        "partitionkey": f"{event.subject_kind}/{event.subject_id}",  # extension: what order is kept within
        "sequence": f"{event.subject_seq:020d}",  # extension: that order, comparable as text
        "data": {
            **head,
            "subject": subject,
            "subject_seq": event.subject_seq,
            "log_index": leaf.index,
            "reason": event.reason and event.reason["code"],
            "policy": policy,
            "evidence": [{"kind": item["kind"], "digest": item["digest"]} for item in event.evidence],
            "before": event.before or None,
            "after": event.after or None,
            "detail": detail,
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
