"""A model version on the way, made through services; runs are finished with results a test chooses."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import Any

import rfc8785

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult, Message, Metric
from audits.checks.sketch_form import Attribute, Reference, Sketch
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from audits.models import CheckRun
from audits.services.check_runs import claim, complete_check_run
from governance.models import Promotion
from governance.services.policies import apply_policy, register_use_case
from governance.services.promotions import request_promotion
from governance.services.settling import settle_after_check
from registry.locks import read
from registry.models import DatasetVersion, EnvironmentLock, ModelVersion, ReferenceSketch
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.environments import keep_environment_lock
from registry.services.models import register_model, register_model_version
from registry.services.sketches import claim as claim_sketch
from registry.services.sketches import keep_sketch, request_sketch
from registry.tabular import profile
from tests.cast import Cast

CSV = b"age,sex,bmi,progression\n59,2,32.1,1\n48,1,21.6,0\n72,2,30.5,1\n24,1,25.3,0\n"
HOMOLOGATION = """
policy: study-homologation
applies_to: {use_case: care, environment: homologation}
checks:
  - check: bias.group_disparity
    parameters: {sensitive: [sex], min_group: 30}
    require:
      - {metric: demographic_parity_ratio, min: 0.8, bound: point}
approvals: [{role: validator, count: 1}]
"""
PRODUCTION = """
policy: study-production
applies_to: {use_case: care, environment: production}
checks:
  - check: bias.group_disparity
    parameters: {sensitive: [sex], min_group: 30}
    require:
      - {metric: demographic_parity_ratio, min: 0.8, bound: point}
approvals: [{role: validator, count: 1}, {role: approver, count: 1}]
"""
OPEN = """
policy: study-{environment}
applies_to: {{use_case: care, environment: {environment}}}
checks: []
approvals: []
"""
# The environment it was made in, as its lock file has it.
LOCK = b"numpy==2.4.0 \\\n    --hash=sha256:" + b"1" * 64 + b"\nscikit-learn==1.8.0\n"


def metadata(**changes: Any) -> dict[str, Any]:
    return {
        "format": "skops",
        "framework": "scikit-learn",
        "task": "binary",
        "target": "progression",
        "positive_label": 1,
        "favourable_label": 1,
        "output": "probability",
        "threshold": 0.5,
        "sensitive": {
            "sex": {"use": "allowed", "reason": "without it the disparity is larger"},
            "age": {"use": "monitored"},
        },
        "training": ["patients@1"],
        "evaluation": "patients@1",
        "seed": 7,
        "code_commit": "0123456789abcdef",
        "environment_digest": f"sha256:{sha256(LOCK).hexdigest()}",
        "use_case": "care",
        **changes,
    }


def shell(cast: Cast) -> Command:
    """Crivo's own command: it alone applies a policy without a second person."""
    return Command(system_actor("shell", cast.workspace.id))


def put_in_force(cast: Cast, text: str) -> None:
    """The policy applied, and in force."""
    apply_policy(command=shell(cast), text=text)
    sequence()


def use_case_with_policies(cast: Cast) -> None:
    register_use_case(command=cast.command("rita"), name="care", purpose="Whom to call in.", risk_tier="high")
    for text in (
        OPEN.format(environment="development"),
        OPEN.format(environment="test"),
        HOMOLOGATION,
        PRODUCTION,
    ):
        apply_policy(command=shell(cast), text=text)
    sequence()  # a policy is in force once its event is in a published checkpoint


def dataset_version(cast: Cast, content: bytes = CSV, name: str = "patients") -> DatasetVersion:
    register_dataset(command=cast.command("pipeline"), name=name)
    return register_dataset_version(
        command=cast.command("pipeline"),
        name=name,
        stored=blobs.store(cast.workspace.id, io.BytesIO(content), cap=1 << 20),
        format="csv",
        profile=profile(io.BytesIO(content), "csv"),
        sensitive={"sex": {}, "age": {"bins": [50]}},
    ).value


def model_version(
    cast: Cast, artifact: bytes = b"a model", name: str = "progression", **changes: Any
) -> ModelVersion:
    register_model(command=cast.command("pipeline"), name=name)
    return register_model_version(
        command=cast.command("pipeline"),
        name=name,
        stored=blobs.store(cast.workspace.id, io.BytesIO(artifact), cap=1 << 20),
        metadata=json.loads(json.dumps(metadata(**changes))),
    ).value


def kept_sketch(cast: Cast, name: str = "patients", n: int = 1) -> ReferenceSketch:
    """The reference sketch of a dataset version, as a worker would have made it of more rows."""
    asked = request_sketch(command=cast.command("pipeline"), name=name, n=n).value
    claimed = claim_sketch(asked.id)
    assert claimed is not None
    cells = Sketch("numbers", (50.0,), (), (40, 60), 0)
    found = Reference(100, asked.k, {"age": cells}, {"sex": Attribute((), (), (), None, {})})
    content = io.BytesIO(rfc8785.dumps(found.to_json()))
    return keep_sketch(
        command=Command(system_actor("worker", cast.workspace.id)),
        sketch_id=asked.id,
        fence=claimed.fence,
        stored=blobs.store(cast.workspace.id, content, cap=1 << 20),
        found=found,
        run_environment={},
    ).value


def kept_lock(cast: Cast, version: ModelVersion, lock: bytes = LOCK) -> EnvironmentLock:
    return keep_environment_lock(
        command=cast.command("pipeline"),
        name=version.model.name,
        n=version.n,
        stored=blobs.store(cast.workspace.id, io.BytesIO(lock), cap=1 << 20),
        found=read(lock),
    ).value


def study(cast: Cast) -> ModelVersion:
    """The use case, its policies, a dataset version and one model version."""
    use_case_with_policies(cast)
    dataset_version(cast)
    return model_version(cast)


def ask(cast: Cast, version: ModelVersion, to: str, name: str = "pipeline") -> Promotion:
    return request_promotion(
        command=cast.command(name), version_id=version.id, to=to, reason="ready for the next step"
    ).value


def ratio_result(value: float = 0.86) -> CheckResult:
    return CheckResult(
        "completed",
        metrics=(
            Metric(
                "demographic_parity_ratio", value, attribute="sex", interval=(value - 0.1, value + 0.1), n=177
            ),
        ),
    )


def errored_result(code: str = "timeout") -> CheckResult:
    return CheckResult("errored", error=Message(code, {"seconds": 600}))


def complete(run: CheckRun, result: CheckResult) -> None:
    """What a worker does with a run, with a result given beforehand."""
    claimed = claim(run.id)
    assert claimed is not None
    complete_check_run(
        command=Command(system_actor("worker", run.workspace_id)),
        run_id=run.id,
        fence=claimed.fence,
        result=result,
        run_environment={},
    )


def finish(run: CheckRun, result: CheckResult) -> None:
    complete(run, result)
    settle_after_check(run.id)


def finish_checks(promotion: Promotion, result: CheckResult | None = None) -> Promotion:
    for check in promotion.checks.select_related("run"):
        if not check.run.finished:
            finish(check.run, result or ratio_result())
    promotion.refresh_from_db()
    return promotion


def sequence() -> None:
    """Bring every event into a signed and published checkpoint: what the notary does, in this process."""
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    try:
        notary.run_pass()
    finally:
        notary.release()
