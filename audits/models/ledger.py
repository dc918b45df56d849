"""The ledger's tables. Rows are appended by `audits.ledger.record` and the notary; nobody else writes here.

Triggers refuse UPDATE, DELETE and TRUNCATE on every table but SubjectHead and LogState (migration 0002).
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from audits.models.workspace import Workspace, new_salt


class Outcome(models.TextChoices):
    DONE = "done", _("done")
    REFUSED = "refused", _("refused")


class SubjectHead(models.Model):
    """The last event of one subject. Its row lock gives events of a subject their gapless order."""

    pk = models.CompositePrimaryKey("kind", "subject_id")
    kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    seq = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)  # of the last envelope, hex; empty before the first
    salt = models.CharField(max_length=64, default=new_salt)
    state = models.CharField(max_length=80, blank=True)  # `after` of the last event: `before` of the next

    class Meta:
        db_table = "audits_subject_head"


class Event(models.Model):
    """One thing that happened. The columns are the truth; head, rest and envelope are computed from them.

    A column `xid` (the transaction that wrote it) exists in the database only: nobody may set it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField(db_index=True)  # clock of the database
    # No index of its own: event_workspace_at begins with it.
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+", db_index=False)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.UUIDField(db_index=True)
    on_behalf_of = models.UUIDField(null=True)
    verb = models.CharField(max_length=80)
    subject_kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    subject_label = models.CharField(max_length=400, blank=True)
    subject_digest = models.CharField(max_length=80, blank=True)
    subject_seq = models.BigIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    reason = models.JSONField(null=True)  # {code, params}
    texts = models.JSONField(default=dict)  # name → salted commitment; the text itself is in EventText
    policy = models.JSONField(null=True)  # {id, version, digest}
    evidence = models.JSONField(default=list)  # [{kind, digest}]
    before = models.CharField(max_length=80, blank=True)  # digests of the subject's state
    after = models.CharField(max_length=80, blank=True)
    detail = models.JSONField(default=dict)
    request_id = models.UUIDField(db_index=True)
    correlation_id = models.UUIDField(db_index=True)
    previous = models.CharField(max_length=64, blank=True)
    subject_salt = models.CharField(max_length=64)
    head_salt = models.CharField(max_length=64)
    rest_salt = models.CharField(max_length=64)
    mac = models.CharField(max_length=64)

    class Meta:
        db_table = "audits_event"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "subject_seq"], name="event_subject_seq"
            ),
            models.CheckConstraint(condition=models.Q(outcome__in=Outcome.values), name="event_outcome"),
        ]
        indexes = [
            models.Index(fields=["workspace", "-at", "-id"], name="event_workspace_at"),
            models.Index(fields=["verb"], name="event_verb"),
        ]


class EventText(models.Model):
    """A text a person wrote (a reason, a name), outside the leaf: the event holds only its salted commitment.

    Text and salt are sealed under the key of `person_id` (audits.sealing), and gone with it.
    """

    event = models.ForeignKey(Event, models.PROTECT, related_name="written")
    name = models.CharField(max_length=40)
    person_id = models.UUIDField(db_index=True)
    sealed = models.BinaryField()

    class Meta:
        db_table = "audits_event_text"
        constraints = [models.UniqueConstraint(fields=["event", "name"], name="event_text_name")]


class Leaf(models.Model):
    """Where an event stands in the tree. A position only: transaction ids are not causal, `subject_seq` is.

    It outlives its event where that was pruned (PrunedEvent); a leaf with neither is found by `verify_ledger`.
    """

    index = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(Event, models.PROTECT, related_name="leaf", db_constraint=False)
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audits_leaf"


class Node(models.Model):
    """A complete inner node of the RFC 6962 tree (level ≥ 1); level 0 are the leaves."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audits_node"


class Checkpoint(models.Model):
    """A signed tree head after it was published outside the database. Before that there is no row."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    published_at = models.DateTimeField(db_index=True)
    # Signed by the notary: when that was, and which row came before (audits.ledger.beside).
    statement = models.TextField(db_default="")

    class Meta:
        db_table = "audits_checkpoint"


class Quarantine(models.Model):
    """An event whose MAC is wrong: never sequenced as genuine, never a reason to stop."""

    event = models.OneToOneField(Event, models.PROTECT, related_name="quarantine")
    code = models.CharField(max_length=40)
    found_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "audits_quarantine"


class LogState(models.Model):
    """One row: how far the notary has looked. `watermark` is the xmin of the snapshot of its last pass."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    origin = models.CharField(max_length=200)
    watermark = models.DecimalField(max_digits=20, decimal_places=0, default=0)

    class Meta:
        db_table = "audits_log_state"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="log_state_single")]
