"""The beginning of the story: tables, lineage, two versions and the environment they were made with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from governance.client.shapes import ModelVersion
from governance.demo import study
from governance.demo.stage import Stage, hold, refused

SOURCE_NAMESPACE, SOURCE_NAME = "https://scikit-learn.org", "load_diabetes"
SOURCE = f"dataset:{SOURCE_NAMESPACE}:{SOURCE_NAME}"


def register(stage: Stage, files: study.Study) -> dict[str, ModelVersion]:
    pipeline = stage["pipeline"].crivo
    case = pipeline.register_use_case(study.USE_CASE, purpose=study.PURPOSE, risk_tier=study.RISK_TIER)
    stage.tell(f"The pipeline registered the use case {case.name}, risk tier {case.risk_tier}.")
    for name, path in ((study.TRAINING, files.training), (study.EVALUATION, files.evaluation)):
        ended = stage["pipeline"].command(
            *("dataset", "register", path, "--name", name, "--sensitive", "sex,age"),
            *("--bins", "age=50", "--json"),
        )
        if ended.code != 0:
            refused(ended, f"registering {path.name}")
        found = ended.json
        hold(found["digest"] == study.digest_of_file(path), f"{name} was stored with another digest")
        hold(found["reference"] == f"{name}@1", f"{name} became {found['reference']}, not version 1")
        stage.tell(
            f"It uploaded {found['reference']}: {found['rows']} patients, {len(found['columns'])} columns, "
            f"sex and age declared sensitive."
        )
    _record_lineage(stage)
    versions = {}
    for variant in study.VARIANTS:
        metadata = files.metadata[variant.name]
        ended = stage["pipeline"].command(
            *("model", "register", files.artifacts[variant.name]),
            *("--name", study.MODEL, "--metadata", metadata, "--json"),
        )
        if ended.code != 0:
            refused(ended, f"registering the version {variant.name}")
        version = ModelVersion.read(ended.json, created=True)
        hold(
            version.artifact_digest == study.digest_of_file(files.artifacts[variant.name]),
            f"{version.reference} was stored with another digest",
        )
        again = pipeline.register_model_version(
            study.MODEL, files.artifacts[variant.name], json.loads(metadata.read_text(encoding="utf-8"))
        )
        hold(not again.created and again.n == version.n, "the same manifest became a second version")
        claimed = version.raw["metadata"]["claimed_metrics"]["accuracy"]
        stage.tell(
            f"It registered {version.reference}, trained {variant.name} sex and age, claiming an accuracy of "
            f"{claimed:.3f}; sent a second time it stayed one version."
        )
        _keep_lock(stage, version, files.lock)
        versions[variant.name] = version
    graph = pipeline.lineage(f"model:crivo:{versions['with'].reference}", direction="up")
    names = {node["id"] for node in graph.nodes}
    hold(
        SOURCE in names and not graph.truncated,
        f"the lineage does not lead back to {SOURCE}: {sorted(names)}",
    )
    stage.tell(
        f"Lineage leads from {versions['with'].reference} over {len(names) - 2} steps back to scikit-learn's "
        "bundled study."
    )
    return versions


def _record_lineage(stage: Stage) -> None:
    """The split into training and evaluation, as an OpenLineage event (spec 2-0-2)."""
    event = {
        "eventType": "COMPLETE",
        "eventTime": datetime.now(UTC).isoformat(),
        "producer": "https://crivo.example/demonstration",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid4())},
        "job": {"namespace": "demonstration", "name": "split"},
        "inputs": [{"namespace": SOURCE_NAMESPACE, "name": SOURCE_NAME}],
        "outputs": [
            {"namespace": "crivo", "name": f"{dataset}@1"} for dataset in (study.TRAINING, study.EVALUATION)
        ],
    }
    stored = stage["pipeline"].crivo.record_lineage(event)
    hold(stored.created, "the lineage event was there before")
    hold(not stored.findings, f"the lineage event has findings: {stored.findings}")
    stage.tell("It recorded the lineage of both tables: one split of the study, 60 % and 40 %.")


def _keep_lock(stage: Stage, version: ModelVersion, lock: Path) -> None:
    """With the lock of its environment the version has a bill of materials; the digest was declared before."""
    ended = stage["pipeline"].command("lock", version.reference, lock, "--json")
    if ended.code != 0:
        refused(ended, f"keeping the lock of {version.reference}")
    kept = ended.json
    hold(kept["digest"] == study.digest_of_file(lock), "another lock was kept than was sent")
    hold(kept["open"] == 0, f"the lock leaves the version of {kept['open']} packages open")
    bill = json.loads(stage["pipeline"].crivo.sbom(version.name, version.n))
    found = {part["name"]: part["version"] for part in bill["components"]}
    framework = version.raw["metadata"]["framework"]
    hold(
        f"scikit-learn {found.get('scikit-learn')}" == framework,
        f"trained with {framework}, but the bill of materials says {found.get('scikit-learn')}",
    )
    stage.tell(
        f"It kept the lock of the environment of {version.reference}: a bill of materials of {len(found)} packages, "
        f"among them {framework}."
    )
