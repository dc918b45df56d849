from __future__ import annotations

from django.db import models

from audits.models.workspace import Workspace


class IdempotencyRecord(models.Model):
    """What one Idempotency-Key led to: the result by reference (secrets are never replayed), or the refusal."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    principal = models.UUIDField()
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=200)
    body_digest = models.CharField(max_length=80)
    result_model = models.CharField(max_length=100, blank=True)
    result_id = models.UUIDField(null=True)
    created = models.BooleanField(default=False)
    refusal = models.JSONField(null=True)  # {status, code, params, reasons, field}
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        db_table = "audits_idempotency"
        constraints = [
            models.UniqueConstraint(fields=["principal", "method", "path", "key"], name="idempotency_key"),
        ]
