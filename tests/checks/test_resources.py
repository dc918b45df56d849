"""What running costs: plausible figures, exact where they can be, and intervals from order statistics."""

from __future__ import annotations

import pytest

from audits.checks.catalogue import CATALOGUE
from audits.checks.resources import quantile_interval
from tests.checks import cast

CHECK = "evaluation.resources"


def test_figures_are_there_with_what_they_rest_on() -> None:
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    size = len(cast.model_file(model).read())
    result = cast.run(
        CHECK, model=model, evaluation=evaluation, parameters={"rows": 60, "batch": 500, "repeats": 7}
    )
    assert cast.metric(result, "artifact_bytes")["value"] == size
    latency, tail = cast.metric(result, "latency_ms"), cast.metric(result, "latency_ms_p95")
    assert 0 < latency["value"] <= tail["value"]
    assert latency["denominators"] == {"rows": 60}
    assert latency["interval"][0] <= latency["value"] <= latency["interval"][1]
    speed = cast.metric(result, "throughput_rows_per_second")
    assert speed["denominators"] == {"batches": 7, "rows": 500}
    assert speed["value"] > 0
    assert cast.metric(result, "peak_memory_bytes")["value"] > 10 * size


def test_it_is_the_one_check_that_does_not_promise_the_same_bytes() -> None:
    assert [slug for slug, item in CATALOGUE.items() if not item.repeatable] == [CHECK]


def test_the_interval_of_a_median_is_the_binomials() -> None:
    values = [float(n) for n in range(1, 101)]
    # the classical table: ranks 40 and 61 of 100
    assert quantile_interval(values, 0.5, 0.95) == (40.0, 61.0)
    assert quantile_interval(values[:5], 0.5, 0.95) is None
    assert quantile_interval(values[:6], 0.5, 0.95) == (1.0, 6.0)


@pytest.mark.parametrize("name", ["rows", "batch", "repeats"])
def test_nothing_is_not_measured(name: str) -> None:
    training, evaluation = cast.diabetes()
    result = cast.run(CHECK, model=cast.logistic(training), evaluation=evaluation, parameters={name: 0})
    assert result["error"]["code"] == "parameters_invalid"
