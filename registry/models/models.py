from __future__ import annotations

from django.db import models

from audits.actors import SubjectRef
from audits.models.workspace import name_validator
from registry.models.base import Governed
from registry.models.datasets import DatasetVersion
from registry.states import VersionState


class Model(Governed):
    """A named model; what can be promoted is a version of it."""

    name = models.CharField(max_length=200, validators=[name_validator])
    description = models.TextField(blank=True)
    owner_id = models.UUIDField()
    last_n = models.IntegerField(default=0)

    class Meta:
        db_table = "registry_model"
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="model_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("model", self.id, self.name)


class ModelVersion(Governed):
    """A manifest: the digest of the artefact and the declared metadata. The same manifest is the same version."""

    model = models.ForeignKey(Model, models.PROTECT, related_name="versions")
    n = models.IntegerField()
    state = models.CharField(max_length=20, choices=VersionState.choices, default=VersionState.REGISTERED)
    manifest_digest = models.CharField(max_length=80)
    artifact_digest = models.CharField(max_length=80, db_index=True)
    artifact_size = models.BigIntegerField()
    metadata = models.JSONField()  # as declared, validated by registry.metadata
    training = models.ManyToManyField(DatasetVersion, related_name="trained")
    evaluation = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="evaluated")
    author_id = models.UUIDField()  # metadata.author, else the person behind the token
    registered_by = models.UUIDField()

    class Meta:
        db_table = "registry_model_version"
        constraints = [
            models.UniqueConstraint(fields=["model", "n"], name="model_version_n"),
            models.UniqueConstraint(fields=["model", "manifest_digest"], name="model_version_manifest"),
            models.CheckConstraint(
                condition=models.Q(state__in=VersionState.values), name="model_version_state"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.model.name}@{self.n}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("model_version", self.id, self.label, self.manifest_digest)


class EnvironmentLock(Governed):
    """The lock file whose digest the version declares, kept with the list of packages in it. Never changed."""

    version = models.OneToOneField(ModelVersion, models.PROTECT, related_name="environment_lock")
    format = models.CharField(max_length=20)  # one of registry.locks.KNOWN
    digest = models.CharField(max_length=80)
    size = models.BigIntegerField()
    packages = models.JSONField()  # [{name, version, ecosystem, sha256: […]}], sorted by name

    class Meta:
        db_table = "registry_environment_lock"

    @property
    def open_count(self) -> int:
        """Packages of which the lock does not say which version."""
        return sum(not package["version"] for package in self.packages)
