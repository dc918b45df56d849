"""Evidence that somebody else produced: kept as it came, shown as attested, never as computed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef
from registry.models import ModelVersion
from registry.models.base import Governed


class EvidenceKind(models.TextChoices):
    JUNIT = "junit", _("test report (JUnit XML)")
    DOCUMENT = "document", _("signed document")


class ExternalEvidence(Governed):
    """One file for one check of one version. Never changed, never removed."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="external_evidence")
    check_slug = models.CharField(max_length=100)  # the check of the catalogue it stands for
    kind = models.CharField(max_length=20, choices=EvidenceKind.choices)
    title = models.CharField(max_length=200)
    issuer = models.CharField(max_length=200)  # who is said to have produced it
    digest = models.CharField(max_length=80)
    size = models.BigIntegerField()
    # Of a test report: cases counted by us. {tests, failures, errors, skipped}
    summary = models.JSONField(default=dict)
    signed_by = models.CharField(max_length=80, blank=True)  # sha256 of the key whose signature we verified
    attached_by = models.UUIDField()

    class Meta:
        db_table = "governance_external_evidence"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=EvidenceKind.values), name="external_evidence_kind"),
            models.CheckConstraint(
                condition=~Q(kind="document") | ~Q(signed_by=""), name="external_evidence_document_signed"
            ),
            models.UniqueConstraint(
                fields=["version", "check_slug", "digest", "signed_by"], name="external_evidence_once"
            ),
        ]

    @property
    def label(self) -> str:
        return f"{self.check_slug}: {self.title}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("external_evidence", self.id, self.label, self.digest)
