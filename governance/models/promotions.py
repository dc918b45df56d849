from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.actors import SubjectRef
from audits.models import CheckRun
from governance.models.policies import Environment, PolicyVersion
from governance.states import DecisionVerdict, PlacementState, PromotionState
from registry.models import Model, ModelVersion
from registry.models.base import Governed


class Promotion(Governed):
    """A request to bring one model version one environment further."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="promotions")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    policy = models.ForeignKey(PolicyVersion, models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=PromotionState.choices, default=PromotionState.CHECKING)
    requested_by = models.UUIDField()  # the actor
    requester_id = models.UUIDField(null=True)  # the person behind
    correlation_id = models.UUIDField()
    round = models.SmallIntegerField(
        default=0
    )  # goes up when another policy version comes into force meanwhile
    outcome = models.JSONField(null=True)  # why it was refused: {code, params}
    dossier_digest = models.CharField(
        max_length=80, blank=True
    )  # as last computed, when every check had finished
    requirements = models.JSONField(default=list)  # the verdict, line by line, as last computed
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_promotion"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=PromotionState.values), name="promotion_state"),
            models.UniqueConstraint(
                fields=["version", "environment"],
                condition=Q(state__in=["checking", "awaiting_approval"]),
                name="promotion_one_open",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.version.label} → {self.environment.name}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("promotion", self.id, self.label, self.version.manifest_digest)

    @property
    def attestation(self) -> Attestation | None:
        """The newest of them."""
        return max(self.attestations.all(), key=lambda row: row.n, default=None)


class ThisRound(models.Manager["PromotionCheck"]):
    """The checks under the policy version the request is held against now; earlier rounds stay as history."""

    def get_queryset(self) -> models.QuerySet[PromotionCheck]:
        return super().get_queryset().filter(round=models.F("promotion__round"))


class PromotionCheck(models.Model):
    """Which run answers which `checks` entry of the policy. One run can serve several requests."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="checks")
    round = models.SmallIntegerField(default=0)
    position = models.SmallIntegerField()
    run = models.ForeignKey(CheckRun, models.PROTECT, related_name="+")

    objects = ThisRound()
    every = models.Manager["PromotionCheck"]()

    class Meta:
        db_table = "governance_promotion_check"
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "round", "position"], name="promotion_check_round_position"
            )
        ]


class Exclusion(models.Model):
    """A person who may not approve this request, and why. A trigger holds decisions against it."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="exclusions")
    person_id = models.UUIDField()
    duty = models.CharField(max_length=40)  # requester | author | trainer | dataset_owner

    class Meta:
        db_table = "governance_exclusion"
        constraints = [
            models.UniqueConstraint(fields=["promotion", "person_id", "duty"], name="exclusion_once"),
        ]


class Decision(Governed):
    """What one person decided on the dossier they saw. Never changed; void once the dossier is another one."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="decisions")
    person_id = models.UUIDField()
    role = models.CharField(max_length=40)  # the slot of the quorum it fills
    verdict = models.CharField(max_length=20, choices=DecisionVerdict.choices)
    dossier_digest = models.CharField(max_length=80)
    event_id = models.UUIDField()  # where the reason is

    class Meta:
        db_table = "governance_decision"
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "person_id", "dossier_digest"], name="decision_once"
            ),
            models.CheckConstraint(condition=Q(verdict__in=DecisionVerdict.values), name="decision_verdict"),
        ]


class Placement(Governed):
    """Where a version stands. Effective once the leaf of `granted_event` is in a published checkpoint."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="placements")
    model = models.ForeignKey(Model, models.PROTECT, related_name="+")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    exclusive = models.BooleanField()  # of the environment, when granted: a partial index cannot look it up
    promotion = models.OneToOneField(Promotion, models.PROTECT, related_name="placement")
    state = models.CharField(max_length=20, choices=PlacementState.choices, default=PlacementState.LIVE)
    granted_event = models.UUIDField()
    successor = models.ForeignKey("self", models.PROTECT, null=True, related_name="predecessors")
    # What ended it: once this event is published, it stands in no longer, whatever becomes of the successor later.
    superseding_event = models.UUIDField(null=True)

    class Meta:
        db_table = "governance_placement"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=PlacementState.values), name="placement_state"),
            models.UniqueConstraint(
                fields=["model", "environment"],
                condition=Q(state="live", exclusive=True),
                name="placement_one_live_exclusive",
            ),
            models.UniqueConstraint(
                fields=["version", "environment"],
                condition=Q(state="live"),
                name="placement_one_live_version",
            ),
        ]

    @property
    def label(self) -> str:
        return f"{self.version.label} in {self.environment.name}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("placement", self.id, self.label, self.version.manifest_digest)


class Attestation(models.Model):
    """A signed statement of a promotion (DSSE), issued by the notary after inclusion. Of several the newest counts.

    A fresh one follows a passed re-review, or the theft of the key that signed the last; the others stay as they are.
    """

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="attestations", db_index=False)
    n = models.SmallIntegerField(default=1)  # counted for each promotion
    because = models.UUIDField(null=True)  # the event that a further one follows; the first follows the grant
    envelope = models.TextField()
    key_id = models.CharField(max_length=100)
    issued_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "governance_attestation"
        constraints = [
            models.UniqueConstraint(fields=["promotion", "n"], name="attestation_n"),
            models.UniqueConstraint(fields=["promotion", "because"], name="attestation_once_for_each_cause"),
        ]
