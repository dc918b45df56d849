"""Who is told of events, and how that went. What they are told is made from the event when it is sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.ledger import Event
from audits.models.workspace import Workspace, name_validator
from audits.states import DeliveryState, WebhookState


class Webhook(models.Model):
    """A subscription to the ledger of one workspace. `cursor` is the first leaf it has not looked at.

    Its secrets are in no column: generation n is derived from a key the database does not hold.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    name = models.CharField(max_length=100, validators=[name_validator])
    url = models.CharField(
        max_length=500
    )  # may hold a credential of its receiver: never in an event or a log
    verbs = models.JSONField(default=list)  # empty: every verb
    subject_kinds = models.JSONField(default=list)  # empty: every kind
    refusals = models.BooleanField(default=False)  # also what was refused
    state = models.CharField(max_length=20, choices=WebhookState.choices, default=WebhookState.ACTIVE)
    disabled_reason = models.JSONField(null=True)  # {code, params}
    generation = models.IntegerField(default=1)  # of the secret
    previous_until = models.DateTimeField(null=True)  # until then the generation before signs, too
    cursor = models.BigIntegerField()
    failing_since = models.DateTimeField(null=True)  # the first failure since the last success
    busy_until = models.DateTimeField(null=True)  # a worker was sent for it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "audits_webhook"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=WebhookState.values), name="webhook_state"),
            models.CheckConstraint(condition=Q(generation__gte=1, cursor__gte=0), name="webhook_counts"),
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=~Q(state="deleted"), name="webhook_name"
            ),
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("webhook", self.id, self.name)


class WebhookDelivery(models.Model):
    """One event for one subscription. A later event of the same subject waits until this one is out of the way."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries")
    event = models.ForeignKey(Event, models.PROTECT, related_name="+", db_constraint=False)  # or pruned since
    leaf_index = models.BigIntegerField()
    subject_kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    state = models.CharField(max_length=20, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.SmallIntegerField(default=0)  # since it was last made pending
    next_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    fence = models.IntegerField(default=0)  # goes up with each claim: whoever lost the lease cannot write
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_webhook_delivery"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=DeliveryState.values), name="webhook_delivery_state"
            ),
            models.UniqueConstraint(fields=["webhook", "event"], name="webhook_delivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["webhook", "subject_kind", "subject_id", "leaf_index"],
                condition=Q(state="pending"),
                name="webhook_delivery_open",
            ),
            models.Index(fields=["webhook", "leaf_index"], name="webhook_delivery_log"),
        ]


class WebhookAttempt(models.Model):
    """One try, as it went. Never changed; the answer of the receiver is kept as a short excerpt."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    delivery = models.ForeignKey(WebhookDelivery, models.PROTECT, related_name="tries")
    at = models.DateTimeField()
    status = models.SmallIntegerField(null=True)  # of HTTP; null: no answer
    latency_ms = models.IntegerField()
    error = models.JSONField(null=True)  # {code, params}
    excerpt = models.CharField(max_length=1024, blank=True)

    class Meta:
        db_table = "audits_webhook_attempt"
        indexes = [models.Index(fields=["delivery", "at"], name="webhook_attempt_log")]
