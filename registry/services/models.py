from __future__ import annotations

from typing import Any

from audits import blobs
from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import NotFound, Unprocessable
from audits.ledger.record import lock, record
from registry import selectors
from registry.directory import directory
from registry.metadata import validated
from registry.models import DatasetVersion, Model, ModelVersion
from registry.services.lineage import link, node_of_version
from registry.services.registering import checked_upload, next_n, registered, workspace_of


@service("model.registered")
def register_model(*, command: Command, name: str, description: str = "") -> Result[Model]:
    """A model by name. Naming one that is there returns it (created False)."""
    workspace = workspace_of(command)
    require(command, "model.register", None, remember_on=workspace.ref)
    return registered(command, Model, workspace, verb="model.registered", name=name, description=description)


@service("model_version.registered")
def register_model_version(
    *,
    command: Command,
    name: str,
    stored: blobs.Stored | Unprocessable,
    metadata: Any,
    expected_digest: str = "",
    uri: str = "",
) -> Result[ModelVersion]:
    """A version of the model `name` from an artefact already in the blob store. Same manifest, same version.

    Who the author is and whether the use case exists is asked through the directory port (registry.directory).
    422 names the field of `metadata` that is missing, unknown or contradicts the data.
    """
    model = selectors.model(command.actor, name)
    lock(model.workspace_id, model.ref)
    require(command, "model_version.register", model.ref)
    stored = checked_upload(stored, expected_digest, model)
    try:
        declared = validated(metadata)
        training = [_dataset(command, ref, "metadata.training") for ref in declared["training"]]
        evaluation = _dataset(command, declared["evaluation"], "metadata.evaluation")
        _check_columns(declared, [*training, evaluation])
        if not directory().use_case_exists(command.actor.workspace, declared["use_case"]):
            raise Unprocessable("use_case_unknown", field="metadata.use_case", name=declared["use_case"])
        author = (
            directory().person_named(declared["author"]) if "author" in declared else command.actor.person
        )
        if author is None:
            raise Unprocessable("author_unknown", field="metadata.author", name=declared.get("author", ""))
    except Unprocessable as refusal:
        refusal.subject = model.ref  # a refused creation is remembered on its parent
        raise
    manifest = {
        "artifact": stored.digest,
        "datasets": {row.label: row.digest for row in [*training, evaluation]},
        "metadata": declared,
    }
    manifest_digest = digest_of(manifest)
    existing = ModelVersion.objects.filter(model=model, manifest_digest=manifest_digest).first()
    if existing is not None:
        return Result(existing, created=False)
    blobs.refer(model.workspace_id, stored)
    version = ModelVersion.objects.create(
        workspace_id=model.workspace_id,
        model=model,
        n=next_n(model),
        manifest_digest=manifest_digest,
        artifact_digest=stored.digest,
        artifact_size=stored.size,
        metadata=declared,
        evaluation=evaluation,
        author_id=author,
        registered_by=command.actor.id,
    )
    version.training.set(training)
    _link_to_datasets(version, training, evaluation)
    record(
        command,
        verb="model_version.registered",
        subject=version.ref,
        after=manifest_digest,
        evidence=[
            {"kind": "artifact", "digest": stored.digest},
            *({"kind": "dataset", "digest": row.digest} for row in [*training, evaluation]),
        ],
        detail={
            "author": str(author),
            "use_case": declared["use_case"],
            "code_commit": declared["code_commit"],
            **({"uri": uri} if uri else {}),
        },
    )
    return Result(version)


def _dataset(command: Command, reference: str, field: str) -> DatasetVersion:
    try:
        return selectors.dataset_version(command.actor, reference)
    except NotFound as error:
        raise Unprocessable("dataset_version_unknown", field=field, reference=reference) from error


def _check_columns(declared: dict[str, Any], versions: list[DatasetVersion]) -> None:
    """Every declared column is in every dataset, and no sensitive column of a dataset is passed over in silence."""
    named = [("metadata.target", declared["target"])]
    named += [(f"metadata.sensitive.{column}", column) for column in declared["sensitive"]]
    named += [(f"metadata.{key}", declared[key]) for key in ("entity_key", "time_column") if key in declared]
    for version in versions:
        for field, column in named:
            if version.columns and column not in version.column_names:
                raise Unprocessable(
                    "column_not_in_data",
                    field=field,
                    column=column,
                    dataset=version.label,
                    known=version.column_names,
                )
        for column, declaration in version.sensitive.items():
            if column not in declared["sensitive"]:
                raise Unprocessable(
                    "sensitive_column_not_declared",
                    field="metadata.sensitive",
                    column=column,
                    dataset=version.label,
                )
            if declaration.get("bins"):
                declared["sensitive"][column].setdefault("bins", declaration["bins"])


def _link_to_datasets(
    version: ModelVersion, training: list[DatasetVersion], evaluation: DatasetVersion
) -> None:
    node = node_of_version(version)
    for row in {row.id: row for row in [*training, evaluation]}.values():
        link(node_of_version(row), node, version.created_at)
