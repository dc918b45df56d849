"""How a policy becomes another one: somebody proposes, somebody else approves, and those it concerns acknowledge it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.actors import SubjectRef
from audits.models.workspace import name_validator
from governance.models.policies import PolicyVersion
from governance.states import PolicyChangeState
from registry.models.base import Governed


class PolicyChange(Governed):
    """A proposed policy text. The service may change only where it stands: what was proposed stays as it was."""

    name = models.CharField(max_length=200, validators=[name_validator])
    text = models.TextField()
    body = models.JSONField()
    digest = models.CharField(max_length=80)  # of the body, as a version of it would have
    base = models.ForeignKey(
        PolicyVersion, models.PROTECT, null=True, related_name="+"
    )  # current when proposed
    diff = models.JSONField()  # against base: [{direction, code, params}]
    commit = models.CharField(
        max_length=80, blank=True
    )  # of the Git checkout it came from, as the client said
    proposed_by = models.UUIDField()  # the actor
    proposer_id = models.UUIDField()  # the person behind
    state = models.CharField(
        max_length=20, choices=PolicyChangeState.choices, default=PolicyChangeState.PROPOSED
    )
    version = models.OneToOneField(PolicyVersion, models.PROTECT, null=True, related_name="change")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_policy_change"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=PolicyChangeState.values), name="policy_change_state"
            ),
            models.CheckConstraint(
                condition=Q(state="approved", version__isnull=False)
                | (~Q(state="approved") & Q(version__isnull=True)),
                name="policy_change_approved_has_version",
            ),
            models.UniqueConstraint(
                fields=["workspace", "name", "digest"],
                condition=Q(state="proposed"),
                name="policy_change_proposed_once",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.name}@{self.base.n if self.base else 0} → {self.name}@{(self.base.n if self.base else 0) + 1}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("policy_change", self.id, self.label, self.digest)


class PolicyChangeExclusion(models.Model):
    """A person who may not approve this change, and why. A trigger holds decisions against it."""

    change = models.ForeignKey(PolicyChange, models.PROTECT, related_name="exclusions")
    person_id = models.UUIDField()
    duty = models.CharField(max_length=40)  # proposer | beneficiary

    class Meta:
        db_table = "governance_policy_change_exclusion"
        constraints = [
            models.UniqueConstraint(
                fields=["change", "person_id", "duty"], name="policy_change_exclusion_once"
            )
        ]


class PolicyChangeDecision(models.Model):
    """One person's word on the text they saw; it settles the change."""

    class Verdict(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"

    change = models.OneToOneField(PolicyChange, models.PROTECT, primary_key=True, related_name="decision")
    person_id = models.UUIDField()
    verdict = models.CharField(max_length=20, choices=Verdict.choices)
    digest = models.CharField(max_length=80)  # of the change, as they saw it
    event_id = models.UUIDField()  # where the reason is
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_policy_change_decision"
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict__in=["approve", "reject"]), name="policy_change_decision_verdict"
            )
        ]


class PolicyAcknowledgement(models.Model):
    """A person says that they know this version of a policy."""

    policy = models.ForeignKey(PolicyVersion, models.PROTECT, related_name="acknowledgements")
    person_id = models.UUIDField()
    event_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_policy_acknowledgement"
        constraints = [
            models.UniqueConstraint(fields=["policy", "person_id"], name="policy_acknowledgement_once")
        ]
