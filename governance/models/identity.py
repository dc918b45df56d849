from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef
from registry.models.base import Governed


class User(AbstractUser):
    """A person. The id is random, because it stands in the ledger for ever, where the name may not."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta(AbstractUser.Meta):
        db_table = "governance_user"

    @property
    def label(self) -> str:
        return self.get_full_name() or self.username

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("person", self.id)  # no name: labels of persons never enter the ledger


class ApiToken(Governed):
    """`crv_<id>_<secret><crc>`: only a peppered hash of the secret is kept. Shown once, when issued."""

    class Kind(models.TextChoices):
        PERSONAL = "personal", _("personal")
        SERVICE = "service", _("service")

    public_id = models.CharField(max_length=16, unique=True)
    secret_hash = models.CharField(max_length=64)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    person = models.ForeignKey(User, models.PROTECT, related_name="tokens")  # acts as them, or answers for it
    scopes = models.JSONField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_api_token"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("token", self.id, self.name)
