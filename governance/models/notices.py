"""What people are told by e-mail, and how often they want to be."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef
from governance.models.identity import User
from governance.models.promotions import Promotion
from governance.states import NoticeState
from registry.models.base import Governed


class MailMode(models.TextChoices):
    IMMEDIATELY = "immediately", _("immediately")
    DAILY = "daily", _("once a day, together")
    NEVER = "never", _("never")


class MailPreference(Governed):
    """How one person wants mail about one workspace. Who has no row gets it immediately, in the default language."""

    person = models.ForeignKey(User, models.PROTECT, related_name="mail_preferences")
    mode = models.CharField(max_length=20, choices=MailMode.choices, default=MailMode.IMMEDIATELY)
    language = models.CharField(max_length=10, blank=True)  # of LANGUAGES; empty: the default

    class Meta:
        db_table = "governance_mail_preference"
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=MailMode.values), name="mail_preference_mode"),
            models.UniqueConstraint(fields=["workspace", "person"], name="mail_preference_once"),
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("mail_preference", self.id)


class Notice(Governed):
    """One person to be told that one dossier awaits approval: once for each dossier. The text is made when sent."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="notices")
    person = models.ForeignKey(User, models.PROTECT, related_name="notices")
    dossier_digest = models.CharField(max_length=80)
    state = models.CharField(max_length=20, choices=NoticeState.choices, default=NoticeState.PENDING)
    attempts = models.SmallIntegerField(default=0)
    next_at = models.DateTimeField()  # while a worker is at it: when another may take over
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_notice"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=NoticeState.values), name="notice_state"),
            models.UniqueConstraint(fields=["promotion", "person", "dossier_digest"], name="notice_once"),
        ]
        indexes = [models.Index(fields=["next_at"], condition=Q(state="pending"), name="notice_open")]
