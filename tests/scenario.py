"""A believable piece of work for tests to stand on: a registered version and its way to production.

Everything goes through services. What the checks say was recorded from a real run of them (tests/recorded/make.py);
`changed` bends one of the results where a test needs another story.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult, Message, Metric, Table
from audits.models import CheckRun, Event, Leaf
from audits.services.check_runs import OPEN, claim, complete_check_run
from governance.models import Placement, Promotion
from governance.services.decisions import decide
from governance.services.policies import apply_policy, register_use_case
from governance.services.promotions import request_promotion
from governance.services.settling import settle_after_check
from governance.states import DecisionVerdict, PromotionState
from registry.models import DatasetVersion, ModelVersion
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.models import register_model, register_model_version
from registry.tabular import profile
from tests.cast import Cast

RECORDED = Path(__file__).parent / "recorded" / "diabetes.json"
STEPS = ("development", "test", "homologation", "production")
REQUEST_REASON = "The new cohort is in; the version at work was trained without it."
APPROVAL_REASON = "Recomputed figures match the claims; the disparity between the sexes is within policy."

POLICY = """
policy: diabetes-{environment}
applies_to: {{use_case: diabetes-progression, environment: {environment}}}
checks:
  - check: data.quality
    require:
      - {{metric: schema_mismatches, max: 0}}
  - check: evaluation.performance
    require:
      - {{metric: row_overlap, max: 0}}
      - {{metric: claimed_metric_gap, max: 0.01}}
  - check: bias.group_disparity
    parameters: {{min_group: 30}}
    require:
      - {{metric: demographic_parity_ratio, attributes: [sex], min: 0.80, bound: point}}
      - {{metric: equalized_odds_difference, attributes: [sex], max: 0.20, bound: point}}
      - {{metric: forbidden_attribute_flips, max: 0}}
  - check: explainability.shap
    require:
      - {{metric: sensitive_attribution_share, max: 0.40}}
approvals: {approvals}
"""
APPROVALS = {
    "development": "[]",
    "test": "[]",
    "homologation": "[{role: validator, count: 1}]",
    "production": "[{role: validator, count: 1}, {role: approver, count: 1}]",
}


@cache
def _recorded() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(RECORDED.read_text())
    return data


def recorded_semantics() -> dict[str, Any]:
    return copy.deepcopy(_recorded()["semantics"])


def recorded_result(slug: str) -> dict[str, Any]:
    """A recorded result as JSON, free to be changed."""
    return copy.deepcopy(_recorded()["results"][slug])


def as_result(data: Mapping[str, Any]) -> CheckResult:
    def message(item: Mapping[str, Any] | None) -> Message | None:
        return Message(item["code"], item["params"]) if item else None

    return CheckResult(
        outcome=data["outcome"],
        metrics=tuple(
            Metric(**{**item, "undefined": message(item["undefined"])}) for item in data["metrics"]
        ),
        tables=tuple(Table(**item) for item in data["tables"]),
        notes=tuple(Message(**item) for item in data["notes"]),
        error=message(data["error"]),
    )


def policies(cast: Cast) -> None:
    """The policies of this study, applied by Rita: what is asked of the sex column, by point value."""
    for environment, approvals in APPROVALS.items():
        text = POLICY.format(environment=environment, approvals=approvals)
        apply_policy(command=Command(system_actor("shell", cast.workspace.id)), text=text)
    publish()


def dataset_version(cast: Cast, name: str, content: bytes, by: str = "ana") -> DatasetVersion:
    command = cast.command(by)
    register_dataset(command=command, name=name)
    stored = blobs.store(command.actor.workspace, io.BytesIO(content), cap=1 << 24)
    return register_dataset_version(
        command=cast.command(by),
        name=name,
        stored=stored,
        format="csv",
        profile=profile(io.BytesIO(content), "csv"),
        sensitive={"sex": {}, "age": {"bins": [40, 55]}},
    ).value


HEADER = b"age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,progressed\n"
ROW = b"59,B,32.1,101,157,93.2,38,4,4.86,87,yes\n48,A,21.6,87,183,103.2,70,3,3.89,69,no\n"


def register(
    cast: Cast,
    *,
    model: str = "diabetes",
    artifact: bytes = b"a model",
    purpose: str = "Find patients whose diabetes is likely to progress, so that they are followed more closely.",
    risk_tier: str = "limited",
    files: Mapping[str, bytes] | None = None,
    **metadata: Any,
) -> ModelVersion:
    """A version registered by the pipeline's token, its author Ana."""
    given = {"training": HEADER + ROW, "evaluation": HEADER + ROW * 2, "artifact": artifact, **(files or {})}
    training = dataset_version(cast, "diabetes-training", given["training"])
    evaluation = dataset_version(cast, "diabetes-evaluation", given["evaluation"])
    register_use_case(
        command=cast.command("ana"), name="diabetes-progression", purpose=purpose, risk_tier=risk_tier
    )
    register_model(command=cast.command("pipeline"), name=model)
    declared = {
        **recorded_semantics(),
        "training": [training.label],
        "evaluation": evaluation.label,
        "use_case": "diabetes-progression",
        "seed": 14,
        "code_commit": "4f2c9d1ab37e5086c2d4e9f01b8a7365cc09de12",
        "environment_digest": f"sha256:{sha256(b'environment').hexdigest()}",
        "author": "ana",
        **metadata,
    }
    stored = blobs.store(cast.workspace.id, io.BytesIO(given["artifact"]), cap=1 << 24)
    return register_model_version(
        command=cast.command("pipeline"), name=model, stored=stored, metadata=declared
    ).value


def request(
    cast: Cast, version: ModelVersion, to: str, by: str = "pipeline", reason: str = REQUEST_REASON
) -> Promotion:
    return request_promotion(command=cast.command(by), version_id=version.id, to=to, reason=reason).value


def complete_checks(
    promotion: Promotion, changed: Mapping[str, Mapping[str, Any]] | None = None
) -> Promotion:
    """Finish every waiting check of the promotion as a worker would, and let the promotion go on."""
    worker = Command(system_actor("worker", promotion.workspace_id))
    for check in promotion.checks.select_related("run").filter(run__state__in=OPEN):
        run = claim(check.run_id)
        assert run is not None
        result = (changed or {}).get(run.check_slug) or recorded_result(run.check_slug)
        complete_check_run(
            command=worker,
            run_id=run.id,
            fence=run.fence,
            result=as_result(result),
            run_environment={
                "seconds": 1.9,
                "max_rss_bytes": 310_000_000,
                "libraries": {"scikit-learn": "1.8.0", "numpy": "2.4.0"},
                "confinement": {"level": 2, "mechanisms": ["user namespace", "seccomp", "rlimits"]},
            },
        )
        settle_after_check(run.id)
    promotion.refresh_from_db()
    return promotion


def publish() -> None:
    """Put every event so far into the log and a checkpoint, as far as effectiveness looks at it (not signed)."""
    first = Leaf.objects.count()
    waiting = Event.objects.filter(leaf__isnull=True).order_by("id")
    events = list(waiting.values_list("id", flat=True))
    as_owner(
        'INSERT INTO audits_leaf ("index", event_id, hash) '
        "SELECT %s + n - 1, event, %s FROM unnest(%s::uuid[]) WITH ORDINALITY AS w(event, n)",
        first, b"\0" * 32, list(map(str, events)),
    )  # fmt: skip
    as_owner(
        "INSERT INTO audits_checkpoint (size, root, note, published_at) VALUES (%s, %s, %s, %s)",
        first + len(events), b"\0" * 32, "a note", timezone.now(),
    )  # fmt: skip


def as_owner(statement: str, *parameters: Any) -> None:
    """What only the notary may write, in the transaction of this test: its own connection would see nothing of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT test_as_owner(%s)", [cursor.mogrify(statement, parameters).decode()])


def word(
    cast: Cast,
    who: str,
    promotion: Promotion,
    verdict: str = DecisionVerdict.APPROVE,
    reason: str = APPROVAL_REASON,
) -> None:
    """`who` decides on the dossier as it is now."""
    promotion.refresh_from_db()
    decide(
        command=cast.command(who),
        promotion_id=promotion.id,
        verdict=verdict,
        reason=reason,
        dossier_digest=promotion.dossier_digest,
    )
    promotion.refresh_from_db()


def promoted(cast: Cast, version: ModelVersion, to: str) -> Placement:
    """Bring the version up to `to`, step by step, with everything effective."""
    for environment in STEPS[: STEPS.index(to) + 1]:
        promotion = complete_checks(request(cast, version, environment))
        if promotion.state == PromotionState.AWAITING_APPROVAL:
            word(cast, "bruno", promotion)
        if promotion.state == PromotionState.AWAITING_APPROVAL:
            word(cast, "bia", promotion)
        assert promotion.state == PromotionState.GRANTED, (environment, promotion.outcome)
        publish()
    return Placement.objects.get(version=version, environment__name=to)


def awaiting_production(
    cast: Cast, changed: Mapping[str, Mapping[str, Any]] | None = None, **register_with: Any
) -> Promotion:
    """A version in homologation whose request for production waits for a validator and an approver."""
    policies(cast)
    version = register(cast, **register_with)
    promoted(cast, version, "homologation")
    return complete_checks(request(cast, version, "production"), changed)


def runs_of(promotion: Promotion) -> dict[str, CheckRun]:
    return {check.run.check_slug: check.run for check in promotion.checks.select_related("run")}
