"""Shapes of the API: what goes in, what comes out."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.models import Dataset, DatasetVersion, EnvironmentLock, LineageEvent, Model, ModelVersion


class NewNamed(serializers.Serializer[None]):
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, default="", max_length=10_000)


class StrictBoolean(serializers.BooleanField):
    """true or false; not the words that stand for them in a form."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class NewDataset(NewNamed):
    hidden = StrictBoolean(
        required=False, default=False, help_text="an evaluation set that those who make models do not see"
    )
    zone = serializers.CharField(
        required=False, max_length=60, help_text="the data zone its content never leaves (docs/zones.md)"
    )
    smallest_cell = serializers.IntegerField(
        required=False, help_text="rows a figure about it rests on at least, where it has a zone; default 10"
    )


class DatasetOut(serializers.ModelSerializer[Dataset]):
    latest = serializers.IntegerField(
        source="last_n", help_text="number of the newest version, 0 if there is none"
    )

    class Meta:
        model = Dataset
        fields = ["id", "name", "description", "latest", "hidden", "zone", "smallest_cell", "created_at"]


class DatasetVersionOut(serializers.ModelSerializer[DatasetVersion]):
    name = serializers.CharField(source="dataset.name")
    reference = serializers.CharField(source="label", help_text="name@n, as model versions refer to it")
    sketch = serializers.SerializerMethodField(
        help_text="digest of its reference sketch; null where none is kept"
    )

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "name", "n", "reference", "kind", "uri", "format", "dialect", "digest", "size", "rows", "columns",
            "sensitive", "sketch", "created_at",
        ]  # fmt: skip

    def get_sketch(self, version: DatasetVersion) -> str | None:
        kept = version.kept_sketch
        return kept.digest if kept else None


class DatasetUpload(serializers.Serializer[None]):
    file = serializers.FileField()
    metadata = serializers.JSONField(
        required=False,
        help_text='{"format": "csv"|"parquet"|"parquet-folder", "digest": "sha256:…", '
        '"sensitive": {column: {"bins": […]}}, "dialect": {"separator": ";", "decimal": ",", "encoding": "latin-1"}}',
    )


class ModelOut(serializers.ModelSerializer[Model]):
    latest = serializers.IntegerField(source="last_n")

    class Meta:
        model = Model
        fields = ["id", "name", "description", "latest", "created_at"]


class ModelVersionOut(serializers.ModelSerializer[ModelVersion]):
    name = serializers.CharField(source="model.name")
    training = serializers.SerializerMethodField()
    evaluation = serializers.CharField(source="evaluation.label")

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "n", "state", "manifest_digest", "artifact_digest", "artifact_size", "metadata", "training",
            "evaluation", "created_at",
        ]  # fmt: skip

    def get_training(self, version: ModelVersion) -> list[str]:
        return sorted(row.label for row in version.training.all())


class ModelUpload(serializers.Serializer[None]):
    artifact = serializers.FileField()
    metadata = serializers.JSONField(
        help_text="see docs/metadata.md; `digest` may announce the artefact's digest"
    )


class PackageOut(serializers.Serializer[None]):
    name = serializers.CharField()
    version = serializers.CharField(help_text="empty where the lock leaves it open")
    ecosystem = serializers.ChoiceField(["pypi", "conda"])
    sha256 = serializers.ListField(
        child=serializers.CharField(), help_text="of the files the lock accepts; empty: it does not say"
    )


class EnvironmentLockOut(serializers.ModelSerializer[EnvironmentLock]):
    version = serializers.CharField(source="version.label")
    open = serializers.IntegerField(
        source="open_count", help_text="packages of which the lock does not say which version"
    )
    packages = PackageOut(many=True)

    class Meta:
        model = EnvironmentLock
        fields = ["version", "format", "digest", "size", "open", "packages", "created_at"]


class LockUpload(serializers.Serializer[None]):
    file = serializers.FileField(help_text="the file whose digest the version declares as environment_digest")


class LineageStored(serializers.ModelSerializer[LineageEvent]):
    class Meta:
        model = LineageEvent
        fields = ["id", "digest", "findings"]


class LineageNodeOut(serializers.Serializer[None]):
    id = serializers.CharField()
    type = serializers.CharField()
    name = serializers.CharField()
    depth = serializers.IntegerField()


class LineageEdgeOut(serializers.Serializer[None]):
    origin = serializers.CharField()
    destination = serializers.CharField()


class LineageGraphOut(serializers.Serializer[None]):
    nodes = LineageNodeOut(many=True)
    edges = LineageEdgeOut(many=True)
    truncated = serializers.BooleanField(help_text="true: there is more than this answer shows")


class ByUri(serializers.Serializer[None]):
    """Bytes from where they lie instead of an upload: file:, https: or s3:, as the installation permits."""

    uri = serializers.CharField(max_length=2000, help_text="ends in / for a folder (file and s3)")
    digest = serializers.RegexField(
        r"^sha256:[0-9a-f]{64}$", help_text="of the bytes; checked before anything else"
    )
    metadata = serializers.JSONField(required=False, help_text="as with an upload")
