"""The states of a check run: a table, and one pure step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _

S = TypeVar("S", bound=models.TextChoices)
Table = Mapping[S, frozenset[S]]


class IllegalTransition(ValueError):  # noqa: N818 - the words of the state table
    def __init__(self, current: str, wanted: str, allowed: frozenset[str]) -> None:
        self.current, self.wanted, self.allowed = current, wanted, sorted(allowed)
        super().__init__(
            f"{current} → {wanted} is not a transition; from {current}: {self.allowed or 'none'}"
        )


def step(table: Table[S], current: S | str, wanted: S) -> S:
    """`wanted`, if the table allows it from `current`; else IllegalTransition. Pure."""
    allowed = table[type(wanted)(current)]
    if wanted not in allowed:
        raise IllegalTransition(str(current), str(wanted), frozenset(map(str, allowed)))
    return wanted


class CheckRunState(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    ERRORED = "errored", _("errored")


CHECK_RUN: Table[CheckRunState] = {
    CheckRunState.QUEUED: frozenset({CheckRunState.RUNNING, CheckRunState.ERRORED}),
    # RUNNING → RUNNING: a lease that ran out is taken over, with a higher fencing number.
    CheckRunState.RUNNING: frozenset({CheckRunState.RUNNING, CheckRunState.COMPLETED, CheckRunState.ERRORED}),
    CheckRunState.COMPLETED: frozenset(),
    CheckRunState.ERRORED: frozenset(),
}


class CheckPartState(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    DROPPED = "dropped", _("no longer needed")


CHECK_PART: Table[CheckPartState] = {
    CheckPartState.QUEUED: frozenset({CheckPartState.RUNNING, CheckPartState.DROPPED}),
    # RUNNING → RUNNING: as above.
    CheckPartState.RUNNING: frozenset(
        {CheckPartState.RUNNING, CheckPartState.DONE, CheckPartState.FAILED, CheckPartState.DROPPED}
    ),
    CheckPartState.DONE: frozenset(),
    CheckPartState.FAILED: frozenset(),
    CheckPartState.DROPPED: frozenset(),
}


class ExportForm(models.TextChoices):
    BUNDLE = "bundle", _("verifiable, for auditors")
    CSV = "csv", _("CSV, for spreadsheets")
    JSONL = "jsonl", _("JSON Lines, for programs")


class ExportState(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


EXPORT: Table[ExportState] = {
    ExportState.QUEUED: frozenset({ExportState.RUNNING}),
    # RUNNING → RUNNING: as above.
    ExportState.RUNNING: frozenset({ExportState.RUNNING, ExportState.DONE, ExportState.FAILED}),
    ExportState.DONE: frozenset(),
    ExportState.FAILED: frozenset(),
}


class WebhookState(models.TextChoices):
    ACTIVE = "active", _("active")
    DISABLED = "disabled", _("disabled")
    DELETED = "deleted", _("deleted")


WEBHOOK: Table[WebhookState] = {
    WebhookState.ACTIVE: frozenset({WebhookState.DISABLED, WebhookState.DELETED}),
    WebhookState.DISABLED: frozenset({WebhookState.ACTIVE, WebhookState.DELETED}),
    WebhookState.DELETED: frozenset(),
}


class DeliveryState(models.TextChoices):
    PENDING = "pending", _("pending")
    DELIVERED = "delivered", _("delivered")
    DEAD = "dead", _("given up")


DELIVERY: Table[DeliveryState] = {
    DeliveryState.PENDING: frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD}),
    # Back to pending: somebody asked for it to be sent again.
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),
}
