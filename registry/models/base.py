from __future__ import annotations

from django.db import models

from audits.ids import uuid7
from audits.models.workspace import Workspace


class Governed(models.Model):
    """A row that only services write, that is never deleted, and that belongs to one workspace."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
