"""What the net below the door has seen (audits.net), and which tables it watches."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from audits.actors import SubjectRef
from audits.models.workspace import Workspace


class OutOfBandChange(models.Model):
    """A governed row was changed without an event of that transaction. Written by a trigger, with the owner's rights.

    Digests are over the watched columns as in `crivo_digest`. Columns `id`, `at` and `xid` are set by the database.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField()
    code = models.CharField(max_length=20)  # no_event, differs: from what the event of the transaction says
    table_name = models.CharField(max_length=63)
    operation = models.CharField(max_length=10)  # insert, update, delete, truncate
    row_id = models.CharField(max_length=60, blank=True)
    subject_kind = models.CharField(max_length=60, blank=True)
    subject_id = models.UUIDField(null=True)
    workspace = models.ForeignKey(Workspace, models.PROTECT, null=True, related_name="+", db_constraint=False)
    before = models.CharField(max_length=80, blank=True)
    after = models.CharField(max_length=80, blank=True)
    columns = ArrayField(models.CharField(max_length=63))
    database_role = models.CharField(max_length=63)
    application = models.CharField(max_length=200, blank=True)
    alarm_event = models.UUIDField(null=True)  # the event that tells of it; set once, by the notary

    class Meta:
        db_table = "out_of_band_change"
        indexes = [
            models.Index(fields=["at"], condition=models.Q(alarm_event=None), name="out_of_band_untold")
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("out_of_band_change", self.id, f"{self.operation} on {self.table_name}", self.after)


class Governed(models.Model):
    """Which table holds the subjects of a kind, and which of its columns are left out of their digest."""

    kind = models.CharField(max_length=60, primary_key=True)
    table_name = models.CharField(max_length=63)
    ignored = ArrayField(models.CharField(max_length=63))
    since = models.DateTimeField(auto_now_add=True)  # events before do not carry the digest of the row

    class Meta:
        db_table = "audits_governed"
