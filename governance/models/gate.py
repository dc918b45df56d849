"""What was running before Crivo came, what was found running, and the list of attestations that no longer hold."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.actors import SubjectRef
from governance.models.policies import Environment
from governance.states import GrandfatheredState
from registry.models import Model
from registry.models.base import Governed


class Import(Governed):
    """One list of running models that was brought in, as it was given, and what became of each row. Never changed."""

    digest = models.CharField(max_length=80)  # of the rows and the deadline: the same again is this import
    requested_by = models.UUIDField()
    report = models.JSONField()  # [{model, digest, environment, status, deadline}]

    class Meta:
        db_table = "governance_import"
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="import_digest")]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("import", self.id, digest=self.digest)


class Grandfathered(Governed):
    """An artefact that ran before anybody asked for approval: allowed until the deadline, never approved.

    Only its digest is known (and where it lies): there are no bytes to check, the format is unknown, and it can not be
    promoted. Effective once the leaf of `event_id` is in a published checkpoint; ending it binds at commit.
    """

    source = models.ForeignKey(Import, models.PROTECT, related_name="entries")
    model = models.ForeignKey(Model, models.PROTECT, related_name="+")
    version = models.CharField(max_length=100, blank=True)  # as it was called where it ran
    artifact_digest = models.CharField(max_length=80, db_index=True)
    artifact_uri = models.CharField(max_length=2000, blank=True)
    format = models.CharField(max_length=20, default="unknown")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    since = models.DateTimeField(null=True)  # running since, as declared
    deadline = models.DateTimeField()
    state = models.CharField(
        max_length=10, choices=GrandfatheredState.choices, default=GrandfatheredState.RUNNING
    )
    event_id = models.UUIDField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "governance_grandfathered"
        constraints = [
            models.UniqueConstraint(
                fields=["model", "environment", "artifact_digest"], name="grandfathered_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=GrandfatheredState.values), name="grandfathered_state"
            ),
            models.CheckConstraint(condition=Q(format="unknown"), name="grandfathered_format"),
            models.CheckConstraint(
                condition=Q(state="running", ended_at=None) | Q(state="ended", ended_at__isnull=False),
                name="grandfathered_ended",
            ),
        ]

    @property
    def label(self) -> str:
        called = f"@{self.version}" if self.version else ""
        return f"{self.model.name}{called} in {self.environment.name}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("grandfathered", self.id, self.label[:400], self.artifact_digest)


class Reconciliation(Governed):
    """What ran, as somebody saw it, against what was approved at that moment. Evidence: never changed."""

    recorded_by = models.UUIDField()
    asked_at = models.DateTimeField()
    environments = models.JSONField()  # names it speaks for
    running = models.JSONField()  # as given
    findings = models.JSONField()  # [{kind, model, environment, digest, …}]
    counts = models.JSONField()  # kind → number
    differences = models.IntegerField()
    digest = models.CharField(max_length=80)  # of everything above

    class Meta:
        db_table = "governance_reconciliation"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("reconciliation", self.id, digest=self.digest)


class RevocationList(models.Model):
    """The signed list of attestations that no longer hold, as issued; the newest counts."""

    n = models.BigIntegerField(primary_key=True)
    envelope = models.TextField()
    digest = models.CharField(max_length=80)  # of what is revoked, without the dates
    key_id = models.CharField(max_length=100)
    issued_at = models.DateTimeField()
    next_update = models.DateTimeField()

    class Meta:
        db_table = "governance_revocation_list"
