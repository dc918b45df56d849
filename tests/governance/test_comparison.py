"""A version beside the live one: what is compared, what is said not to be comparable, and that the proof ignores it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult, Material, Metric, Table
from audits.services.check_runs import claim, complete_check_run, obtain_run
from governance.comparison import Comparison, compare
from governance.dossier import assess
from governance.models import Environment
from governance.services.suspensions import suspend_version
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance import lifecycle

pytestmark = pytest.mark.django_db(transaction=True)
OTHER_CSV = study.CSV.replace(b"59,2", b"60,2").replace(b"bmi", b"weight")


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def live(cast: Cast) -> ModelVersion:
    version = lifecycle.open_ways(cast)
    lifecycle.live(cast, version)
    return version


def measured(cast: Cast, version: ModelVersion, slug: str, result: CheckResult, **parameters: Any) -> None:
    """A finished run of `slug` on the version and its own evaluation data."""
    run = obtain_run(
        Command(system_actor("worker", cast.workspace.id)).actor,
        subject=version.ref,
        slug=slug,
        parameters=parameters,
        seed=7,
        semantics={},
        materials=(Material("evaluation", version.evaluation.digest, "csv"),),
        confinement_level=1,
        fresh_since=timezone.now(),
    )
    claimed = claim(run.id)
    assert claimed is not None
    complete_check_run(
        command=Command(system_actor("worker", cast.workspace.id)),
        run_id=run.id,
        fence=claimed.fence,
        result=result,
        run_environment={},
    )


def performance(correct: int, brier: float = 0.2) -> CheckResult:
    return CheckResult(
        "completed",
        (
            Metric("accuracy", correct / 177, interval=(0.1, 0.9), level=0.95, n=177,
                   denominators={"correct": correct, "rows": 177}),
            Metric("brier_score", brier, interval=(brier - 0.04, brier + 0.04), level=0.95, n=177),
            Metric("baseline_gain", 0.1, n=177),
            Metric("row_overlap", 0.0, n=177, denominators={"shared": 0, "rows": 177}),
        ),
    )  # fmt: skip


def importance(**shares: float) -> CheckResult:
    rows = tuple((name, share, share, share) for name, share in shares.items())
    return CheckResult(
        "completed",
        tables=(Table("shap_importance", ("feature", "mean_abs", "mean_signed", "share"), rows),),
    )


def beside(cast: Cast, version: ModelVersion) -> Comparison:
    return compare(version, Environment.objects.get(workspace=cast.workspace, name="production"))


def test_metrics_with_the_test_that_was_used(cast: Cast, live: ModelVersion) -> None:
    second = lifecycle.another(cast, 2)
    measured(cast, live, "evaluation.performance", performance(110))
    measured(cast, second, "evaluation.performance", performance(140, brier=0.25))
    found = beside(cast, second)
    assert (found.live, found.why_not) == (live, None)
    assert found.metrics is not None
    assert found.metrics.why_not is None
    pairs = {pair.metric: pair for pair in found.metrics.pairs}
    assert set(pairs) == {"accuracy", "brier_score", "baseline_gain"}
    accuracy, brier = pairs["accuracy"].test, pairs["brier_score"].test
    assert accuracy is not None
    assert brier is not None
    assert pairs["accuracy"].difference == pytest.approx(30 / 177)
    assert (accuracy.name, brier.name) == ("two_proportion_z", "z_from_intervals")
    assert accuracy.p_value == pytest.approx(0.000464, abs=1e-6)
    assert accuracy.p_holm == pytest.approx(2 * accuracy.p_value)
    assert brier.statistic == pytest.approx(0.05 / (0.08 / (2 * 1.959964) * 2**0.5), rel=1e-5)
    assert pairs["baseline_gain"].test is None, "no sample behind it that could be tested"


def test_other_evaluation_data_is_not_compared(cast: Cast, live: ModelVersion) -> None:
    study.dataset_version(cast, OTHER_CSV, name="others")
    second = study.model_version(cast, artifact=b"2", training=["others@1"], evaluation="others@1")
    measured(cast, live, "evaluation.performance", performance(110))
    measured(cast, second, "evaluation.performance", performance(140))
    found = beside(cast, second)
    assert found.metrics is not None
    assert found.metrics.why_not is not None
    assert (found.metrics.why_not.code, found.metrics.pairs) == ("different_evaluation_data", [])
    assert found.bias is not None
    assert found.bias.why_not is not None
    assert found.bias.why_not.code == "check_not_run"
    data = found.data
    assert data is not None
    assert (data.same_training, data.same_evaluation) == (False, False)
    assert [label for label, _ in data.training_added] == ["others@1"]
    assert [label for label, _ in data.training_dropped] == ["patients@1"]
    assert (data.columns_added, data.columns_dropped) == (["weight"], ["bmi"])
    assert (data.rows, data.live_rows) == (4, 4)


def test_an_errored_or_unreadable_result_is_no_result(cast: Cast, live: ModelVersion) -> None:
    second = lifecycle.another(cast, 2)
    measured(cast, live, "evaluation.performance", study.errored_result())
    measured(cast, second, "evaluation.performance", performance(140))
    found = beside(cast, second).metrics
    assert found is not None
    assert found.why_not is not None
    assert (found.why_not.code, found.why_not.params["version"]) == ("check_not_run", "progression@1")


def test_an_older_pair_on_the_same_data_is_found(cast: Cast, live: ModelVersion) -> None:
    """The newest results need not be the ones that can be compared."""
    second = lifecycle.another(cast, 2)
    measured(cast, live, "evaluation.performance", performance(110), claim_tolerance=0.1)
    measured(cast, live, "evaluation.performance", study.errored_result(), claim_tolerance=0.2)
    measured(cast, second, "evaluation.performance", performance(110))
    found = beside(cast, second).metrics
    assert found is not None
    assert found.why_not is None
    assert found.pairs[0].difference == 0
    assert found.pairs[0].test is not None
    assert found.pairs[0].test.p_value == 1


def test_groups_are_paired_by_attribute_and_group(cast: Cast, live: ModelVersion) -> None:
    def groups(rate: int, difference: float) -> CheckResult:
        return CheckResult(
            "completed",
            (
                Metric("demographic_parity_difference", difference, attribute="sex",
                       interval=(difference - 0.1, difference + 0.1), level=0.95, n=177),
                Metric("selection_rate", rate / 90, attribute="sex", group="1", n=90,
                       denominators={"successes": rate, "rows": 90}),
            ),
        )  # fmt: skip

    second = lifecycle.another(cast, 2)
    measured(cast, live, "bias.group_disparity", groups(40, 0.05), sensitive=["sex"])
    measured(cast, second, "bias.group_disparity", groups(60, 0.3), sensitive=["sex"])
    found = beside(cast, second).bias
    assert found is not None
    assert [(pair.metric, pair.attribute, pair.group) for pair in found.pairs] == [
        ("demographic_parity_difference", "sex", None),
        ("selection_rate", "sex", "1"),
    ]
    assert [pair.test.name for pair in found.pairs if pair.test] == ["z_from_intervals", "two_proportion_z"]


def test_the_shift_of_importance(cast: Cast, live: ModelVersion) -> None:
    second = lifecycle.another(cast, 2)
    measured(cast, live, "explainability.shap", importance(bmi=0.5, age=0.3, sex=0.1, gone=0.1))
    measured(cast, second, "explainability.shap", importance(bmi=0.2, age=0.3, sex=0.4, new=0.1))
    found = beside(cast, second).importance
    assert found is not None
    assert (found.shared, found.added, found.dropped) == (3, ["new"], ["gone"])
    assert found.rank_correlation == pytest.approx(-1.0)
    assert [(shift.feature, round(shift.change, 9)) for shift in found.shifts] == [
        ("bmi", -0.3),
        ("sex", 0.3),
        ("age", 0.0),
    ]


def test_nothing_live_nothing_compared(cast: Cast, live: ModelVersion) -> None:
    found = beside(cast, live)
    assert found.live is None
    assert found.why_not is not None
    assert found.why_not.code == "nothing_live_to_compare", "not with itself"
    second = lifecycle.another(cast, 2)
    suspend_version(command=cast.command("rita"), version_id=live.id, reason="r")
    assert beside(cast, second).live is None, "what may not run is no measure"


def test_until_the_new_one_counts_it_is_compared_with_the_old_one(cast: Cast, live: ModelVersion) -> None:
    second = lifecycle.another(cast, 2)
    lifecycle.live(cast, second, effective=False)
    assert beside(cast, second).live == live
    study.sequence()
    assert beside(cast, second).live is None
    assert beside(cast, lifecycle.another(cast, 3)).live == second


def test_the_proof_does_not_depend_on_what_is_live(cast: Cast, live: ModelVersion) -> None:
    second = lifecycle.another(cast, 2)
    waiting = lifecycle.step_to(cast, second, "production")
    before = assess(waiting, timezone.now()).digest
    measured(cast, live, "evaluation.performance", performance(110))
    suspend_version(command=cast.command("rita"), version_id=live.id, reason="r")
    assert assess(waiting, timezone.now()).digest == before != ""
    assert replace(beside(cast, second), version=second).live is None
