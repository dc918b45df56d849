from __future__ import annotations

import numpy as np
import pytest

from audits.checks.intervals import holm, percentile_interval, wilson


def test_wilson_against_published_values() -> None:
    # Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0000, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 0) is None


def test_holm_against_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_percentile_interval_tolerates_few_undefined_replicates_only() -> None:
    values = np.arange(101, dtype=float)
    assert percentile_interval(values, 0.9) == pytest.approx((5.0, 95.0))
    values[:5] = np.nan
    assert percentile_interval(values, 0.9) is not None
    values[:6] = np.nan
    assert percentile_interval(values, 0.9) is None
    assert percentile_interval(np.array([]), 0.9) is None
