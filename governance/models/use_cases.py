from __future__ import annotations

from django.db import models

from audits.ids import uuid7
from governance.models.policies import UseCase


class UseCaseVersion(models.Model):
    """What a use case said after its n-th change: the history behind its events. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    use_case = models.ForeignKey(UseCase, models.PROTECT, related_name="history")
    n = models.IntegerField()
    content = models.JSONField()
    event_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_use_case_version"
        ordering = ["n"]
        constraints = [models.UniqueConstraint(fields=["use_case", "n"], name="use_case_version_n")]
