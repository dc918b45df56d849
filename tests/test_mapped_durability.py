"""A check divided among real workers, killed in the middle of a part: one effect, and the bytes of the one pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.client import Crivo
from governance.demo import study
from governance.embedded.stack import EmbeddedStack
from tests.test_durability import STEPS, flush, rows, until

pytestmark = pytest.mark.slow
ROWS, USE_CASE = 800_000, "long-data"
POLICY = f"""
policy: measured-at-once
applies_to: {{use_case: {USE_CASE}, environment: development}}
checks:
CHECK
approvals: []
"""
CHECKS = {
    "bias.group_disparity": """
  - check: bias.group_disparity
    parameters: {sensitive: [sex], replicates: 200}
    require: [{metric: demographic_parity_ratio, min: 0.01, bound: point}]
""",
    "data.quality": """
  - check: data.quality
    require: [{metric: schema_mismatches, max: 1000, bound: point}]
""",
}
APPLY = """
from audits.actors import Command, system_actor
from audits.models import Workspace
from governance.services.policies import apply_policy
import sys
apply_policy(command=Command(system_actor("shell", Workspace.objects.get(name="default").id)), text=sys.stdin.read())
"""


@pytest.fixture
def stack() -> Iterator[EmbeddedStack]:
    ours = ("DATABASE", "CELERY", "CRIVO", "SECRET", "DJANGO")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ.update(CRIVO_LEASE_SECONDS="4", CRIVO_MAP_ROWS=str(ROWS // 2), CRIVO_PART_ROWS=str(1 << 18))
    home = Path(tempfile.mkdtemp(prefix="crivo-mapped-"))
    try:
        with EmbeddedStack(home, steps=STEPS, fsync=False, throw_away=True, environ=environ) as stack:
            yield stack
    finally:
        shutil.rmtree(home, ignore_errors=True)


def in_force(stack: EmbeddedStack, policy: str) -> None:
    subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{APPLY}"],
        cwd=stack.project, env={**stack.env, "DJANGO_SETTINGS_MODULE": "governance.settings"},
        input=policy, text=True, check=True,
    )  # fmt: skip
    covered = "SELECT (SELECT max(size) FROM audits_checkpoint) >= (SELECT count(*) FROM audits_event)"
    until(lambda: rows(stack, covered) == [(True,)] or None, "the policy is in a checkpoint", 60)


def token(stack: EmbeddedStack, name: str, *scopes: str) -> str:
    given = [argument for scope in scopes for argument in ("--scope", scope)]
    issued = subprocess.run(
        [sys.executable, "manage.py", "issue_token", "--actor", name, *given],
        cwd=stack.project, env=stack.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return issued.stdout.split()[-1]


@pytest.mark.parametrize("check", CHECKS)
def test_workers_die_in_the_middle_of_a_part(stack: EmbeddedStack, tmp_path: Path, check: str) -> None:
    import pandas as pd

    session = json.loads((Path(stack.env["CRIVO_DATA"]) / "demo-session.json").read_text())
    crivo = Crivo(stack.base_url, session["tokens"]["pipeline"], tries=8)
    files = study.build(tmp_path / "study")
    long = tmp_path / "evaluation.parquet"
    pd.read_csv(files.evaluation).sample(ROWS, replace=True, random_state=1).to_parquet(long, index=False)
    crivo.register_use_case(USE_CASE, purpose=study.PURPOSE, risk_tier=study.RISK_TIER)
    in_force(stack, POLICY.replace("CHECK", CHECKS[check]))
    for name, path in ((study.TRAINING, files.training), (study.EVALUATION, long)):
        crivo.register_dataset(name)
        crivo.register_dataset_version(name, path, sensitive=study.SENSITIVE)
    crivo.register_model(study.MODEL)
    described = {**json.loads(files.metadata["with"].read_text()), "use_case": USE_CASE}
    crivo.register_model_version(study.MODEL, files.artifacts["with"], described)
    asked = crivo.promote(study.MODEL, 1, to="development", reason="ready")
    run = asked.raw["checks"][0]["id"]

    counted = "SELECT 1 FROM audits_check_part WHERE state = 'running'"
    until(lambda: rows(stack, counted) or None, "a part is being counted", 180)
    stack.kill("worker")
    taken = rows(stack, "SELECT id FROM audits_check_part WHERE state = 'running'")
    flush(stack.valkey.url)
    assert taken, "killed too late: nothing was lost"
    told = crivo.check_run(run)
    assert told.state == "running"
    assert told.progress is not None
    known = rows(stack, "SELECT count(*), sum(rows) FROM audits_check_part")
    assert [(told.progress.parts, told.progress.rows)] == known
    assert told.progress.parts == 3 or check == "data.quality"
    stack.restart("worker")
    until(lambda: crivo.check_run(run).finished or None, "the check is finished", 400)

    found = crivo.check_run(run)
    assert (found.state, found.error) == ("completed", None)
    states = rows(stack, "SELECT state, rows, error FROM audits_check_part ORDER BY index")
    assert [(state, error) for state, _, error in states] == [("done", None)] * told.progress.parts
    assert found.raw["run_environment"].get("parts") == told.progress.parts, stack.log_path(
        "worker"
    ).read_text()[-5000:]
    again = rows(stack, "SELECT id FROM audits_check_part WHERE attempts > 1")
    assert set(taken) <= set(again), "what the dead worker held was counted by another"
    once = "SELECT count(*) FROM audits_event WHERE verb = 'check_run.completed'"
    assert rows(stack, once) == [(1,)]
    if check == "data.quality":
        counted = next(
            item["value"]
            for item in found.raw["result"]["metrics"]
            if (item["metric"], item["group"]) == ("rows", "evaluation")
        )
    else:
        groups = next(table for table in found.raw["result"]["tables"] if table["id"] == "groups")
        counted = groups["params"]["rows"]
    assert counted == ROWS, "no row twice, none left out"
    until(lambda: crivo.promotion(asked.id).state == "granted" or None, "the promotion goes on by itself", 60)

    # Computed again, it has its one pass: the same bytes.
    ana = Crivo(stack.base_url, token(stack, "ana", "check:reproduce", "registry:read"), tries=8)
    second = ana.wait_for_reproduction(ana.reproduce(run).id, seconds=400)
    assert (second.outcome, second.computed_digest) == ("identical", found.result_digest)
