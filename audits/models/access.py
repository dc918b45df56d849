from __future__ import annotations

from django.db import models


class AccessRecord(models.Model):
    """Who asked for what over HTTP, and with what status: appended, kept for months, in no proof (AI Act Art. 19).

    No address, no query, no body: the path is the pattern of the route, so that nothing personal gets in.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    workspace_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=10, blank=True)
    actor_id = models.UUIDField(null=True)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=300)
    status = models.SmallIntegerField()
    request_id = models.UUIDField()

    class Meta:
        db_table = "audits_access"
