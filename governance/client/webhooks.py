"""The part of `Crivo` that subscribes other systems to the ledger (docs/webhooks.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from governance.client.answers import Shape, items, member, optional, reason_of
from governance.client.errors import Reason, Usage
from governance.client.lifecycle import segment
from governance.client.transport import Answer


@dataclass(frozen=True)
class Webhook(Shape):
    """`secret` (whsec_…) is there once: in the answer to making it, and to changing its secret."""

    id: str
    name: str
    url: str
    state: str
    verbs: list[str]
    waiting: int
    disabled_reason: Reason | None
    secret: str | None = field(repr=False)
    etag: str = field(default="", repr=False)


@dataclass(frozen=True)
class Delivery(Shape):
    """One event on its way to one receiver. `last` is the newest try: a status, or why there was none."""

    id: str
    event: str
    type: str
    state: str
    attempts: int
    last: str

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        tries, last = items(data, "tries"), ""
        if tries:
            newest = max(tries, key=lambda row: member(row, "at", str))
            status, error = optional(newest, "status", int), optional(newest, "error", dict)
            last = reason_of(error).text if error else str(status or "")
        return super().read(data, last=last, **told)


class Webhooks:
    """Methods of `Crivo`, which supplies how it asks."""

    if TYPE_CHECKING:

        def _get(self, path: str, *, wait: float = 0, etag: str = "", **query: Any) -> Answer: ...
        def _post(self, path: str, body: Any, *, key: str | None = None) -> Answer: ...
        def _send(
            self, method: str, path: str, body: Any = None, *, key: str | None = None, etag: str = ""
        ) -> Answer: ...
        def _pages(self, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]: ...

    def webhooks(self, *, limit: int = 500) -> list[Webhook]:
        return [Webhook.read(row) for row in self._pages("webhooks", limit)]

    def webhook(self, webhook_id: str) -> Webhook:
        answer = self._get(f"webhooks/{segment(webhook_id)}")
        return Webhook.read(answer.json(), etag=answer.headers.get("etag", ""))

    def add_webhook(
        self,
        name: str,
        url: str,
        *,
        verbs: Sequence[str] = (),
        subject_kinds: Sequence[str] = (),
        refusals: bool = False,
        key: str | None = None,
    ) -> Webhook:
        """Without `verbs` and `subject_kinds`, everything. Keep the `secret` of the answer: it is not shown again."""
        body = {
            "name": name,
            "url": url,
            "verbs": list(verbs),
            "subject_kinds": list(subject_kinds),
            "refusals": refusals,
        }
        return Webhook.read(self._post("webhooks", body, key=key).json())

    def change_webhook(self, webhook_id: str, *, if_match: str = "", **changes: Any) -> Webhook:
        """`changes`: name, url, verbs, subject_kinds, refusals, state (active or disabled).

        `if_match`: the `etag` of what was read; if it has changed meanwhile, `Refused` with `precondition_failed`.
        """
        if not changes:
            raise Usage("Say what to change.", code="nothing_to_change")
        answer = self._send("PATCH", f"webhooks/{segment(webhook_id)}", changes, etag=if_match)
        return Webhook.read(answer.json(), etag=answer.headers.get("etag", ""))

    def remove_webhook(self, webhook_id: str) -> None:
        self._send("DELETE", f"webhooks/{segment(webhook_id)}")

    def rotate_webhook_secret(
        self, webhook_id: str, *, overlap_hours: int = 24, key: str | None = None
    ) -> Webhook:
        """A new secret; for `overlap_hours` both sign."""
        body = {"overlap_hours": overlap_hours}
        return Webhook.read(self._post(f"webhooks/{segment(webhook_id)}/secret", body, key=key).json())

    def send_test(self, webhook_id: str, *, key: str | None = None) -> Webhook:
        """Send crivo.test. How it went is in `deliveries` a moment later."""
        return Webhook.read(self._post(f"webhooks/{segment(webhook_id)}/test", {}, key=key).json())

    def deliveries(self, webhook_id: str, *, state: str | None = None, limit: int = 50) -> list[Delivery]:
        """The newest event first."""
        path = f"webhooks/{segment(webhook_id)}/deliveries"
        return [Delivery.read(row) for row in self._pages(path, limit, state=state)]

    def redeliver(
        self,
        webhook_id: str,
        *,
        delivery: str | None = None,
        from_index: int | None = None,
        to_index: int | None = None,
        key: str | None = None,
    ) -> Webhook:
        """Send again: one delivery, or everything between two places in the log, both inclusive."""
        given = {"delivery": delivery, "from_index": from_index, "to_index": to_index}
        body = {name: value for name, value in given.items() if value is not None}
        return Webhook.read(self._post(f"webhooks/{segment(webhook_id)}/redeliveries", body, key=key).json())
