from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from audits.actors import SubjectRef
from audits.models.workspace import name_validator
from audits.states import CheckRunState
from registry.models.base import Governed

if TYPE_CHECKING:
    from registry.models.sketches import ReferenceSketch


class Dataset(Governed):
    """A named dataset; its content lives in versions."""

    name = models.CharField(max_length=200, validators=[name_validator])
    description = models.TextField(blank=True)
    owner_id = models.UUIDField()  # the person answering for it
    last_n = models.IntegerField(default=0)  # counter of versions, moved under the row lock, never back
    # An evaluation set: seen by those who validate, not by those who make models. Decided once.
    hidden = models.BooleanField(default=False, editable=False)
    # The data zone its content never leaves, and the fewest rows a figure about it may rest on. Decided once.
    zone = models.CharField(max_length=60, null=True, editable=False)  # noqa: DJ001 - null is left out of the digest
    smallest_cell = models.SmallIntegerField(null=True, editable=False)

    class Meta:
        db_table = "registry_dataset"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="dataset_name"),
            models.CheckConstraint(
                condition=models.Q(zone=None, smallest_cell=None)
                | models.Q(zone__isnull=False, smallest_cell__isnull=False, smallest_cell__gte=2),
                name="dataset_zone",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("dataset", self.id, self.name)


class DatasetVersion(Governed):
    """One content of a dataset, by digest. Who produced it is lineage, not identity."""

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="versions")
    n = models.IntegerField()
    kind = models.CharField(max_length=20)  # upload | uri
    uri = models.CharField(max_length=2000, blank=True)
    format = models.CharField(max_length=20)
    dialect = models.JSONField(default=dict)  # of a CSV: {separator, decimal, encoding}, as declared
    digest = models.CharField(max_length=80)
    size = models.BigIntegerField()
    rows = models.BigIntegerField(null=True)
    columns = models.JSONField(default=list)  # [{name, type}]
    # {column: {bins?, classification}}: declared here, so that a model cannot forget them.
    sensitive = models.JSONField(default=dict)
    registered_by = models.UUIDField()

    class Meta:
        db_table = "registry_dataset_version"
        constraints = [
            models.UniqueConstraint(fields=["dataset", "n"], name="dataset_version_n"),
            models.UniqueConstraint(fields=["dataset", "digest"], name="dataset_version_digest"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.dataset.name}@{self.n}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("dataset_version", self.id, self.label, self.digest)

    @property
    def kept_sketch(self) -> ReferenceSketch | None:
        """The reference sketch that was made of it."""
        return next((row for row in self.sketches.all() if row.state == CheckRunState.COMPLETED), None)

    @property
    def column_names(self) -> list[str]:
        return [column["name"] for column in self.columns]
