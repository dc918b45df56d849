"""Reading the registry: every lookup goes through what the actor may see. What may not be seen is not found."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.db.models import Model as DjangoModel
from django.db.models import QuerySet

from audits.actors import Actor, authoriser
from audits.errors import NotFound
from registry.models import Dataset, DatasetVersion, EnvironmentLock, Model, ModelVersion, ReferenceSketch

M = TypeVar("M", bound=DjangoModel)


def found(queryset: QuerySet[M], kind: str, name: str) -> M:
    row = queryset.first()
    if row is None:
        raise NotFound("not_found", kind=kind, name=name)
    return row


def datasets(actor: Actor) -> QuerySet[Dataset]:
    return authoriser().visible(actor, Dataset.objects.all())


def dataset(actor: Actor, name: str) -> Dataset:
    return found(datasets(actor).filter(name=name), "dataset", name)


def dataset_versions(actor: Actor) -> QuerySet[DatasetVersion]:
    return authoriser().visible(actor, DatasetVersion.objects.select_related("dataset"))


def dataset_version(actor: Actor, reference: str) -> DatasetVersion:
    """By `name@n`."""
    name, _, n = reference.rpartition("@")
    wanted = dataset_versions(actor).filter(
        dataset__name=name, n=int(n) if n.isdecimal() and len(n) < 10 else -1
    )
    return found(wanted, "dataset version", reference)


def models(actor: Actor) -> QuerySet[Model]:
    return authoriser().visible(actor, Model.objects.all())


def model(actor: Actor, name: str) -> Model:
    return found(models(actor).filter(name=name), "model", name)


def model_versions(actor: Actor) -> QuerySet[ModelVersion]:
    return authoriser().visible(actor, ModelVersion.objects.select_related("model", "evaluation__dataset"))


def model_version(actor: Actor, name: str, n: int) -> ModelVersion:
    return found(model_versions(actor).filter(model__name=name, n=n), "model version", f"{name}@{n}")


def model_version_by_id(actor: Actor, version_id: UUID) -> ModelVersion:
    return found(model_versions(actor).filter(id=version_id), "model version", str(version_id))


def reference_sketch(actor: Actor, name: str, n: int, *, made: bool = False) -> ReferenceSketch:
    """The newest of a version the actor may see; not found until it is asked for, or (`made`) kept."""
    version = dataset_version(actor, f"{name}@{n}")
    rows = ReferenceSketch.objects.filter(version=version).select_related("version__dataset").order_by("-id")
    return found(rows.exclude(digest="") if made else rows, "reference sketch", version.label)


def environment_lock(actor: Actor, name: str, n: int) -> EnvironmentLock:
    """Of a version the actor may see; not found until it is kept."""
    version = model_version(actor, name, n)
    kept = EnvironmentLock.objects.filter(version=version).select_related("version__model")
    return found(kept, "environment lock", version.label)
