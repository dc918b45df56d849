from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from audits.actors import SubjectRef
from audits.models.workspace import name_validator
from registry.models.base import Governed


class RiskTier(models.TextChoices):
    MINIMAL = "minimal", _("minimal")
    LIMITED = "limited", _("limited")
    HIGH = "high", _("high")
    PROHIBITED = "prohibited", _("prohibited")  # no policy opens this: never registered so, never promoted


class UseCase(Governed):
    """The business problem a model serves. Its risk tier selects the policy."""

    name = models.CharField(max_length=200, validators=[name_validator])
    purpose = models.TextField()
    risk_tier = models.CharField(max_length=20, choices=RiskTier.choices)
    owner_id = models.UUIDField()
    n = models.IntegerField(default=1)  # counts changes; behind the ETag
    intake = models.JSONField(default=dict)  # the rest of what is said of it (governance.intake)
    questionnaire = models.JSONField(null=True)  # {version, digest, answers}; null: the tier was declared
    computed_tier = models.CharField(max_length=20, blank=True)  # by the questionnaire

    class Meta:
        db_table = "governance_use_case"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="use_case_name"),
            models.CheckConstraint(
                condition=models.Q(risk_tier__in=RiskTier.values), name="use_case_risk_tier"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("use_case", self.id, self.name)


class Environment(Governed):
    """One step of the way to production; promotions go to the next position only."""

    name = models.CharField(max_length=60, validators=[name_validator])
    position = models.SmallIntegerField()
    exclusive = models.BooleanField(default=False)  # at most one live placement per model

    class Meta:
        db_table = "governance_environment"
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="environment_name"),
            models.UniqueConstraint(fields=["workspace", "position"], name="environment_position"),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyVersion(Governed):
    """A policy is data: the YAML as written, the same as validated JSON, and the digest every verdict pins."""

    name = models.CharField(max_length=200, validators=[name_validator])
    n = models.IntegerField()
    text = models.TextField()
    body = models.JSONField()
    digest = models.CharField(max_length=80)
    environment = models.CharField(max_length=60)
    risk_tiers = models.JSONField()  # the tiers it applies to
    use_case = models.CharField(
        max_length=200, blank=True
    )  # if set, only this one, and before any tier's policy
    current = models.BooleanField(default=True)
    applied_by = models.UUIDField()
    granted_event = models.UUIDField()  # in force once its leaf is in a published checkpoint

    class Meta:
        db_table = "governance_policy_version"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name", "n"], name="policy_version_n"),
            models.UniqueConstraint(
                fields=["workspace", "name"], condition=models.Q(current=True), name="policy_version_current"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.name}@{self.n}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("policy_version", self.id, self.label, self.digest)

    @property
    def pinned(self) -> dict[str, object]:
        return {"id": self.name, "version": self.n, "digest": self.digest}
