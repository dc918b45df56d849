"""What can become of a placement and a version after the grant: suspended, retired, named by an alias, deployed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audits.actors import SubjectRef
from governance.models.policies import Environment
from governance.models.promotions import Placement
from governance.states import DeploymentMode
from registry.models import Model, ModelVersion
from registry.models.base import Governed


class Suspension(Governed):
    """A version, or one placement of it, is stopped. Lifting it is a grant: it counts once `lifted_event` is published.

    A trigger lets a row change once only, from open to lifted.
    """

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="suspensions")
    placement = models.ForeignKey(Placement, models.PROTECT, null=True, related_name="suspensions")
    event_id = models.UUIDField()  # where the reason is
    person_id = models.UUIDField(null=True)  # who suspended; somebody else has to lift it
    lifted_event = models.UUIDField(null=True)
    lifted_by = models.UUIDField(null=True)

    class Meta:
        db_table = "governance_suspension"
        constraints = [
            models.UniqueConstraint(
                fields=["version", "placement"],
                condition=Q(lifted_event=None),
                nulls_distinct=False,
                name="suspension_one_open",
            ),
            models.CheckConstraint(
                condition=Q(lifted_event=None, lifted_by=None)
                | (Q(lifted_event__isnull=False, lifted_by__isnull=False) & ~Q(lifted_by=F("person_id"))),
                name="suspension_lifted_by_another",
            ),
        ]


class Retirement(Governed):
    """The end of a version: why is in the event, what to use instead is `successor`. Never changed."""

    version = models.OneToOneField(ModelVersion, models.PROTECT, related_name="retirement")
    successor = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    event_id = models.UUIDField()
    retired_by = models.UUIDField()  # the actor

    class Meta:
        db_table = "governance_retirement"
        constraints = [
            models.CheckConstraint(
                condition=Q(successor=None) | ~Q(successor=F("version")), name="retirement_successor"
            )
        ]


class Alias(Governed):
    """A name for one version of a model (champion, challenger). It says what is meant, never what is allowed."""

    model = models.ForeignKey(Model, models.PROTECT, related_name="aliases")
    name = models.CharField(max_length=100)
    version = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, related_name="aliases"
    )  # null: taken away

    class Meta:
        db_table = "governance_alias"
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="alias_name")]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("alias", self.id, f"{self.model.name}@{self.name}")


class Deployment(Governed):
    """What runs where, as somebody told us. A record, no permission: it is kept also where the gate says no."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="deployments")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    mode = models.CharField(max_length=20, choices=DeploymentMode.choices)
    share = models.FloatField(null=True)  # of the traffic, 0 to 1
    location = models.CharField(max_length=2000, blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    recorded_by = models.UUIDField()  # the actor
    allowed = models.BooleanField()  # when it was recorded
    basis = models.JSONField()  # why, or why not: {code, params}

    class Meta:
        db_table = "governance_deployment"
        constraints = [
            models.CheckConstraint(condition=Q(mode__in=DeploymentMode.values), name="deployment_mode"),
            models.CheckConstraint(
                condition=Q(share=None) | Q(share__gte=0, share__lte=1), name="deployment_share"
            ),
            models.CheckConstraint(
                condition=Q(until=None) | Q(until__gte=F("since")), name="deployment_until_after_since"
            ),
        ]
        indexes = [
            models.Index(
                fields=["version", "environment"], condition=Q(until=None), name="deployment_running"
            )
        ]

    @property
    def label(self) -> str:
        return f"{self.version.label} in {self.environment.name} ({self.mode})"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("deployment", self.id, self.label, self.version.manifest_digest)
