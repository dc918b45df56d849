"""What an earlier log said, after an incident made a new one begin (audits.services.reopening).

Appended by the owner only.
"""

from __future__ import annotations

from django.db import models


class EarlierLeaf(models.Model):
    """A leaf of an earlier log; `published_at`: when the first checkpoint over it was published, if one was."""

    origin = models.CharField(max_length=200)
    index = models.BigIntegerField()
    event_id = models.UUIDField(db_index=True)
    hash = models.BinaryField(max_length=32)
    published_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_earlier_leaf"
        constraints = [models.UniqueConstraint(fields=["origin", "index"], name="earlier_leaf_place")]


class EarlierCheckpoint(models.Model):
    origin = models.CharField(max_length=200)
    size = models.BigIntegerField()
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    published_at = models.DateTimeField()
    statement = models.TextField(db_default="")

    class Meta:
        db_table = "audits_earlier_checkpoint"
        constraints = [models.UniqueConstraint(fields=["origin", "size"], name="earlier_checkpoint_size")]
