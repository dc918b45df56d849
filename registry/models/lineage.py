from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.actors import SubjectRef
from registry.models.base import Governed


class LineageEvent(Governed):
    """An OpenLineage event as it came in: kept whole, deduplicated by the digest of its canonical form."""

    digest = models.CharField(max_length=80)
    event_time = models.DateTimeField()
    event_type = models.CharField(max_length=20)
    run_id = models.CharField(max_length=200)
    body = models.JSONField()
    findings = models.JSONField(default=list)  # what was lenient about it, as message codes

    class Meta:
        db_table = "registry_lineage_event"
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="lineage_event_digest")]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("lineage_event", self.id, self.run_id, self.digest)


class LineageNode(models.Model):
    """A dataset, job, dataset version or model version in the graph. Integer ids keep the edges small."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey("audits.Workspace", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20)
    namespace = models.CharField(max_length=400)
    name = models.CharField(max_length=1000)

    class Meta:
        db_table = "registry_lineage_node"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "kind", "namespace", "name"], name="lineage_node_key"
            ),
        ]

    @property
    def node_id(self) -> str:
        return f"{self.kind}:{self.namespace}:{self.name}"


class LineageEdge(models.Model):
    """`source` went into `target`, since `valid_from`; an edge is added by evidence and never silently removed."""

    source = models.ForeignKey(LineageNode, models.PROTECT, related_name="downstream")
    target = models.ForeignKey(LineageNode, models.PROTECT, related_name="upstream")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        db_table = "registry_lineage_edge"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "target"], condition=Q(valid_to=None), name="lineage_edge_open"
            ),
            models.CheckConstraint(condition=~Q(source=models.F("target")), name="lineage_edge_no_loop"),
        ]
        indexes = [
            models.Index(
                fields=["source"], include=["target", "valid_from", "valid_to"], name="lineage_edge_down"
            ),
            models.Index(
                fields=["target"], include=["source", "valid_from", "valid_to"], name="lineage_edge_up"
            ),
        ]
