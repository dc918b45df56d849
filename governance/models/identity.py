from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits.actors import Command, SubjectRef, system_actor
from audits.canonical import digest_of
from audits.ledger.record import record
from audits.models import Workspace
from registry.models.base import Governed


def erased_label(person: uuid.UUID) -> str:
    """How somebody is called who was erased: enough to tell two of them apart."""
    return gettext("erased person ({id})").format(id=str(person)[:8])


class People(UserManager["User"]):
    """Everybody else is made by governance.services.people.create_person; `manage.py createsuperuser` comes here."""

    use_in_migrations = False

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra_fields: Any
    ) -> User:
        """A superuser and the event that tells of it, by the operator's shell, in the workspace `default`."""
        with transaction.atomic(using=self._db):
            person = super().create_superuser(username, email, password, **extra_fields)
            workspace, _created = Workspace.objects.get_or_create(name="default")
            about = {"superuser": True, "active": person.is_active}
            record(
                Command(system_actor("shell", workspace.id)),
                verb="person.created",
                subject=person.ref,
                after=digest_of(about),
                detail=about,
            )
        return person


class User(AbstractUser):
    """A person. The id is random, because it stands in the ledger for ever, where the name may not."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    objects: ClassVar[People] = People()

    class Meta(AbstractUser.Meta):
        db_table = "governance_user"

    @property
    def label(self) -> str:
        return erased_label(self.id) if self.erased else self.get_full_name() or self.username

    @property
    def erased_name(self) -> str:
        """The user name an erasure leaves. Nobody chooses it: ids are random, and made after the name was chosen."""
        return f"erased-{self.id.hex[:12]}"

    @property
    def erased(self) -> bool:
        """Whether name and address were erased (audits.services.erasure)."""
        return self.username == self.erased_name

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
