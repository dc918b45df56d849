from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from governance.models.promotions import Promotion
from governance.roles import EXTERNAL
from registry.models.base import Governed


class SignoffInvitation(Governed):
    """Somebody outside is asked to sign off one request, through a link that works once.

    Their name and address are texts of `event_id`, outside the leaf; `actor_id` is random and stands for them in the
    ledger. Of the link only a keyed hash is kept, which also covers what the link is for (governance.signoff_links).
    """

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="signoffs")
    role = models.CharField(max_length=40, choices=list(EXTERNAL.items()))
    actor_id = models.UUIDField(default=uuid.uuid4)
    public_id = models.CharField(max_length=16, unique=True)
    secret_hash = models.CharField(max_length=64)
    invited_by = models.UUIDField()  # the person
    event_id = models.UUIDField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_signoff_invitation"
        constraints = [
            models.CheckConstraint(condition=Q(role__in=list(EXTERNAL)), name="signoff_role"),
            models.CheckConstraint(
                condition=Q(used_at__isnull=True) | Q(revoked_at__isnull=True), name="signoff_used_or_revoked"
            ),
        ]
