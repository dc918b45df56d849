"""Which model or dataset a subject belongs to, and which rows belong to some models and datasets.

One table for both: a kind that is not in it belongs to the workspace, and a role for one model does not reach it.

Who may read one model may also read what a judgement of it rests on: the dataset *versions* that its versions were
trained or evaluated on, their datasets by name, their check runs, the use case they name, and the policies made for
that use case or for everybody. Not the other versions of those datasets, and not what else was made from them.
To write, a dataset needs a role of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, Model, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Concat

from audits.actors import SubjectRef
from audits.models import CheckRun, Explanation, Workspace
from governance.models import (
    Alarm,
    Alias,
    BrokenGlass,
    Condition,
    Decision,
    Deployment,
    ExternalEvidence,
    Finding,
    Grandfathered,
    Placement,
    PlacementReview,
    Promotion,
    Retirement,
    RoleBinding,
    SignoffInvitation,
    Suspension,
    Waiver,
)
from registry import models as registry

MODEL, DATASET = "model", "dataset"


@dataclass(frozen=True)
class Belongs:
    """`model` or `dataset`: the path from a row of `rows` to the id of what it belongs to."""

    rows: type[Model]
    model: str = ""
    dataset: str = ""

    @property
    def owner(self) -> tuple[str, str]:
        return (MODEL, self.model) if self.model else (DATASET, self.dataset)


# Kind of a subject → whose it is. A new kind of row about a version adds a line here, or is the workspace's alone.
SUBJECTS: dict[str, Belongs] = {
    "model": Belongs(registry.Model, model="id"),
    "model_version": Belongs(registry.ModelVersion, model="model_id"),
    "promotion": Belongs(Promotion, model="version__model_id"),
    "decision": Belongs(Decision, model="promotion__version__model_id"),
    "placement": Belongs(Placement, model="model_id"),
    "alias": Belongs(Alias, model="model_id"),
    "deployment": Belongs(Deployment, model="version__model_id"),
    "grandfathered": Belongs(Grandfathered, model="model_id"),
    "finding": Belongs(Finding, model="version__model_id"),
    "external_evidence": Belongs(ExternalEvidence, model="version__model_id"),
    "waiver": Belongs(Waiver, model="version__model_id"),
    "condition": Belongs(Condition, model="promotion__version__model_id"),
    "review": Belongs(PlacementReview, model="placement__model_id"),
    "broken_glass": Belongs(BrokenGlass, model="version__model_id"),
    "alarm": Belongs(Alarm, model="glass__version__model_id"),
    "dataset": Belongs(registry.Dataset, dataset="id"),
    "dataset_version": Belongs(registry.DatasetVersion, dataset="dataset_id"),
}
# Rows that are no subject themselves: what is done to them is told of their version or promotion.
PARTS = (
    Belongs(Suspension, model="version__model_id"),
    Belongs(Retirement, model="version__model_id"),
    Belongs(SignoffInvitation, model="promotion__version__model_id"),
)
# Kinds of which each is the whole workspace's, or about people and keys: a role for one model reaches none of them.
WORKSPACE_WIDE = frozenset(
    {
        "audit_export", "environment", "event", "group", "import", "key", "legal_hold", "lineage_event",
        "mail_preference", "out_of_band_change", "person", "policy_change", "policy_version", "reconciliation",
        "revocation_list", "token", "use_case", "webhook", "workspace",
    }
)  # fmt: skip
BY_LABEL = {belongs.rows._meta.label: belongs for belongs in (*SUBJECTS.values(), *PARTS)}


def owner_of(ref: SubjectRef | None) -> tuple[str, UUID] | None:
    """("model" or "dataset", its id), or None for what belongs to the workspace, or is not there."""
    if ref is None:
        return None
    if ref.kind == "check_run":
        run = CheckRun.objects.filter(id=ref.id).first()
        return owner_of(run.subject) if run else None
    if ref.kind == "explanation":
        told = Explanation.objects.filter(id=ref.id).first()
        return owner_of(SubjectRef(told.subject_kind, told.subject_id)) if told else None
    if ref.kind == "role_binding":
        row = RoleBinding.objects.filter(id=ref.id, scope_id__isnull=False).first()
        return (row.scope_kind, row.scope_id) if row and row.scope_id else None
    belongs = SUBJECTS.get(ref.kind)
    if belongs is None:
        return None
    kind, path = belongs.owner
    found = belongs.rows._base_manager.filter(pk=ref.id).values_list(path, flat=True).first()
    return (kind, found) if found else None


def workspace_of(ref: SubjectRef) -> UUID | None:
    """The workspace of a subject that lives in one, if we know its kind."""
    if ref.kind == "workspace":
        return Workspace.objects.filter(id=ref.id).values_list("id", flat=True).first()
    belongs = SUBJECTS.get(ref.kind)
    if belongs is None:
        return None
    rows: QuerySet[Any] = belongs.rows._base_manager.filter(pk=ref.id)
    return rows.values_list("workspace_id", flat=True).first()


@dataclass(frozen=True)
class Reach:
    """How far an action of somebody reaches in a workspace."""

    everywhere: bool
    models: frozenset[UUID] = frozenset()
    datasets: frozenset[UUID] = frozenset()

    @property
    def nowhere(self) -> bool:
        return not (self.everywhere or self.models or self.datasets)

    @property
    def versions(self) -> QuerySet[registry.ModelVersion]:
        return registry.ModelVersion.objects.filter(model_id__in=self.models)

    @property
    def dataset_versions(self) -> QuerySet[registry.DatasetVersion]:
        made_from = Q(trained__model_id__in=self.models) | Q(evaluated__model_id__in=self.models)
        wanted = registry.DatasetVersion.objects.filter(Q(dataset_id__in=self.datasets) | made_from)
        return registry.DatasetVersion.objects.filter(id__in=wanted.values("id"))

    @property
    def use_cases(self) -> QuerySet[Any, Any]:
        name = KeyTextTransform("use_case", "metadata")
        return self.versions.annotate(named=name).values("named")


def reach_of(scopes: Iterable[tuple[str, UUID | None]]) -> Reach:
    """From (kind, id) of scopes of bindings."""
    known = list(scopes)
    return Reach(
        everywhere=any(kind in ("service", "workspace") for kind, _ in known),
        models=frozenset(found for kind, found in known if kind == MODEL and found),
        datasets=frozenset(found for kind, found in known if kind == DATASET and found),
    )


def within(label: str, reach: Reach) -> Q | None:
    """The rows of the model `label` that `reach` covers, where it does not reach everywhere. None: no row."""
    if label == "registry.Dataset":
        return Q(id__in=reach.dataset_versions.values("dataset_id")) | Q(id__in=reach.datasets)
    if label == "registry.DatasetVersion":
        return Q(id__in=reach.dataset_versions.values("id"))
    if label in BY_LABEL:
        kind, path = BY_LABEL[label].owner
        return Q(**{f"{path}__in": reach.models if kind == MODEL else reach.datasets})
    special = {
        "audits.CheckRun": _check_runs,
        "audits.Explanation": lambda reach: Q(
            subject_kind="model_version", subject_id__in=reach.versions.values("id")
        ),
        "audits.Reproduction": lambda reach: Q(run__in=CheckRun.objects.filter(_check_runs(reach))),
        "audits.Event": _events,
        "registry.LineageNode": _nodes,
        "governance.UseCase": lambda reach: Q(name__in=reach.use_cases),
        "governance.PolicyVersion": lambda reach: Q(use_case="") | Q(use_case__in=reach.use_cases),
        "governance.Environment": lambda reach: Q(),  # the names of the steps: everybody's
        "governance.RoleBinding": _bindings,
    }
    return special[label](reach) if label in special else None


def _bindings(reach: Reach) -> Q:
    """Roles given for these models and datasets alone."""
    return Q(scope_kind=MODEL, scope_id__in=reach.models) | Q(scope_kind=DATASET, scope_id__in=reach.datasets)


def _check_runs(reach: Reach) -> Q:
    return Q(subject_kind="model_version", subject_id__in=reach.versions.values("id")) | Q(
        subject_kind="dataset_version", subject_id__in=reach.dataset_versions.values("id")
    )


def _events(reach: Reach) -> Q:
    """Events about what belongs to the models and datasets: not about what they were made from."""
    wanted = Q(
        subject_kind="check_run", subject_id__in=CheckRun.objects.filter(_check_runs(reach)).values("id")
    )
    told = Explanation.objects.filter(
        subject_kind="model_version", subject_id__in=reach.versions.values("id")
    )
    wanted |= Q(subject_kind="explanation", subject_id__in=told.values("id"))
    bound = RoleBinding.objects.filter(_bindings(reach))
    wanted |= Q(subject_kind="role_binding", subject_id__in=bound.values("id"))
    for kind, belongs in SUBJECTS.items():
        owner, path = belongs.owner
        ids = reach.models if owner == MODEL else reach.datasets
        rows = belongs.rows._base_manager.filter(**{f"{path}__in": ids})
        wanted |= Q(subject_kind=kind, subject_id__in=rows.values("pk"))
    return wanted


def _nodes(reach: Reach) -> Q:
    """Nodes of our own versions; what a job or a foreign dataset is part of cannot be told by its name."""

    def labels(rows: QuerySet[Any], name: str) -> QuerySet[Any, Any]:
        text = CharField()
        label = Concat(F(name), Value("@"), Cast("n", text), output_field=text)
        found: QuerySet[Any, Any] = rows.annotate(node_label=label).values("node_label")
        return found

    return Q(kind="model", namespace="crivo", name__in=labels(reach.versions, "model__name")) | Q(
        kind="dataset", namespace="crivo", name__in=labels(reach.dataset_versions, "dataset__name")
    )
