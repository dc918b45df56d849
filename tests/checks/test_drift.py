"""Drift: sketches that hold enough and not too much, distances as the libraries have them, and the check end to end."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from audits.checks import distances
from audits.checks.contract import CheckError, CheckInput, Material
from audits.checks.execute import execute
from audits.checks.sketches import K, counted_like, from_json, sketch, to_json
from tests.checks import cast

CHECK = "drift.distribution"
COUNTS = st.lists(st.integers(0, 50), min_size=2, max_size=8)


def tables(size: int = 600, moved: float = 0.0) -> pd.DataFrame:
    stream = np.random.default_rng(3 if moved == 0 else 4)
    return pd.DataFrame(
        {
            "sex": stream.choice(["f", "m"], size),
            "income": stream.normal(100 + moved, 10, size),
            "region": stream.choice(
                ["n", "s", "e"], size, p=[0.5, 0.3, 0.2] if not moved else [0.2, 0.3, 0.5]
            ),
            "progression": stream.integers(0, 2, size),
        }
    )


def run(training: pd.DataFrame, evaluation: pd.DataFrame, **what: Any) -> dict[str, Any]:
    declared = what.pop("declared", cast.semantics(sensitive={"sex": {"use": "monitored"}}))
    return cast.run(CHECK, training=training, evaluation=evaluation, declared=declared, **what)


class TestSketches:
    def test_no_stored_cell_of_a_number_holds_fewer_than_k_rows_and_no_extreme_is_kept(self) -> None:
        values = pd.Series([*range(95), 1e9, *[7.0] * 60])
        found = sketch(values, "income")
        assert min(found.counts) >= K
        assert found.n == len(values)
        assert max(found.edges) < 1e9
        assert 0.0 not in found.edges

    def test_rare_values_are_not_named(self) -> None:
        found = sketch(pd.Series(["common"] * 20 + ["one person"] + [None]), "job")
        assert found.levels == ("common",)
        assert found.counts == (20, 1)
        assert found.missing == 1
        assert "one person" not in json.dumps(
            to_json(pd.DataFrame({"job": ["common"] * 20 + ["one person"]}))
        )

    def test_it_comes_back_from_json_as_it_went(self) -> None:
        frame = tables()
        again = from_json(json.loads(json.dumps(to_json(frame))))
        assert again == {name: sketch(frame[name], name) for name in frame.columns}

    @pytest.mark.parametrize(
        "change",
        [
            {"format": "other"},
            {"columns": {"a": {}}},
            {
                "columns": {
                    "a": {"kind": "numbers", "edges": [2, 1], "levels": [], "counts": [1, 1, 1], "missing": 0}
                }
            },
            {"columns": {"a": {"kind": "numbers", "edges": [1], "levels": [], "counts": [1], "missing": 0}}},
            {
                "columns": {
                    "a": {"kind": "numbers", "edges": [1], "levels": [], "counts": [1, -1], "missing": 0}
                }
            },
            {"columns": {"a": {"kind": "?", "edges": [], "levels": [], "counts": [], "missing": 0}}},
            {"columns": []},
        ],
    )
    def test_what_is_no_sketch_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(CheckError) as caught:
            from_json({**to_json(tables()), **change})
        assert caught.value.message.code == "sketch_unreadable"

    def test_counting_in_its_cells_is_counting_itself(self) -> None:
        frame = tables()
        for name in frame.columns:
            reference = sketch(frame[name], name)
            counts, missing = counted_like(reference, frame[name], name)
            assert (tuple(counts), missing) == (reference.counts, reference.missing)


class TestDistances:
    @settings(max_examples=60, deadline=None)
    @given(COUNTS, st.data())
    def test_the_divergence_is_scipys(self, first: list[int], data: Any) -> None:
        second = data.draw(st.lists(st.integers(0, 50), min_size=len(first), max_size=len(first)))
        if not sum(first) or not sum(second):
            return
        p, q = np.array(first), np.array(second)
        found = float(distances.jensen_shannon(p, q))
        assert found == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
        assert 0 <= found <= 1
        assert float(distances.stability_index(p, q)) == pytest.approx(float(distances.stability_index(q, p)))
        assert float(distances.stability_index(p, p)) == 0
        table = np.stack([p, q])[:, (p + q) > 0]
        if table.shape[1] > 1:
            theirs = chi2_contingency(table, correction=False)
            assert distances.chi_square(p, q) == (pytest.approx(theirs.statistic, abs=1e-9), theirs.dof)

    @settings(max_examples=30, deadline=None)
    @given(COUNTS, st.permutations(range(8)))
    def test_the_order_of_categories_changes_nothing(self, counts: list[int], order: Any) -> None:
        place = [at for at in order if at < len(counts)]
        p, q = np.array(counts) + 1, np.array(counts)[::-1] + 2
        for name in ("population_stability_index", "jensen_shannon"):
            function = distances.MEASURES[name]
            assert float(function(p[place], q[place])) == pytest.approx(float(function(p, q)), abs=1e-12)

    def test_distances_from_sketches_are_close_to_those_from_rows(self) -> None:
        stream = np.random.default_rng(1)
        first, second = stream.normal(0, 1, 20_000), stream.normal(0.5, 1.2, 20_000)
        reference = sketch(pd.Series(first), "x")
        mine = np.array(reference.counts)
        other, _ = counted_like(reference, pd.Series(second), "x")
        assert float(distances.kolmogorov(mine, other)) == pytest.approx(
            ks_2samp(first, second).statistic, abs=0.01
        )
        low, high = np.quantile(first, [0.25, 0.75])
        clipped = [np.clip(part, reference.edges[0], reference.edges[-1]) for part in (first, second)]
        ours = distances.wasserstein(mine, other, np.array(reference.edges))
        assert ours == pytest.approx(wasserstein_distance(*clipped) / (high - low), abs=0.01)

    def test_crossing_lines_have_two_triangles(self) -> None:
        assert distances._mean_of_line(np.array([1.0]), np.array([-1.0]))[0] == 0.5
        assert distances._mean_of_line(np.array([1.0]), np.array([3.0]))[0] == 2.0
        assert distances._mean_of_line(np.array([0.0]), np.array([0.0]))[0] == 0.0

    def test_at_the_minimum_size_no_drift_stays_below_the_limit(self) -> None:
        needed = distances.minimum_n(0.25, 10, 5_000, 0.95)
        assert needed is not None
        stream = np.random.default_rng(0)
        shares = np.full(10, 0.1)
        drawn = distances.stability_index(
            stream.multinomial(5_000, shares, 4_000), stream.multinomial(needed, shares, 4_000)
        )
        assert float((drawn < 0.25).mean()) == pytest.approx(0.95, abs=0.02)
        assert distances.minimum_n(0.001, 10, 50, 0.95) is None


class TestCheck:
    def test_the_same_distribution_has_not_drifted(self) -> None:
        result = run(tables(), tables().sample(frac=1, random_state=1))
        assert cast.metric(result, "drifted_columns")["value"] == 0
        for name in ("income", "region", "sex"):
            found = cast.metric(result, "population_stability_index", name)
            assert found["value"] == 0
            assert found["denominators"]["reference_rows"] == 600
            assert found["interval"][0] == 0
        assert cast.metric(result, "group_population_stability_index", "sex")["value"] == 0

    def test_moved_columns_are_found_and_counted(self) -> None:
        result = run(tables(), tables(moved=20.0))
        assert cast.metric(result, "population_stability_index", "income")["value"] > 1
        assert cast.metric(result, "population_stability_index", "region")["value"] > 0.25
        assert cast.metric(result, "population_stability_index", "sex")["value"] < 0.1
        assert cast.metric(result, "drifted_columns")["value"] == 2
        assert cast.metric(result, "group_population_stability_index", "sex")["value"] > 1
        table = cast.table(result, "drift").set_index("column")
        assert table.loc["income", "wasserstein"] > 1
        assert pd.isna(table.loc["region", "wasserstein"])
        assert pd.isna(table.loc["region", "kolmogorov_smirnov"])
        assert table.loc["income", "p_holm"] < 1e-6
        shares = cast.table(result, "drift_distributions").groupby("column")[
            ["reference_share", "current_share"]
        ]
        assert shares.sum().to_numpy() == pytest.approx(1.0)

    def test_rows_in_another_order_give_the_same_result(self) -> None:
        first, second = tables(), tables(moved=5.0)
        turned = run(first.sample(frac=1, random_state=1), second.sample(frac=1, random_state=2))
        assert turned == run(first, second)

    def test_a_stored_sketch_gives_what_the_data_gives(self) -> None:
        training, evaluation = tables(), tables(moved=5.0)
        from_data = run(training, evaluation)
        result = from_sketch(to_json(training), evaluation)
        assert cast.codes(result) == ["sketch_without_groups"]
        for name in ("income", "region", "sex"):
            for metric in ("population_stability_index", "jensen_shannon"):
                assert cast.metric(result, metric, name) == cast.metric(from_data, metric, name)

    def test_a_broken_sketch_is_an_error(self) -> None:
        assert from_sketch({"format": "?"}, tables())["error"]["code"] == "sketch_unreadable"

    def test_a_column_that_turned_into_text_is_named(self) -> None:
        result = run(tables(), tables().assign(income="much"))
        assert result["error"] == {
            "code": "column_kind_differs_from_reference",
            "params": {"column": "income"},
        }

    def test_small_groups_are_left_out_by_name(self) -> None:
        few = tables().assign(sex=["x"] * 50 + ["f"] * 550)
        result = run(few, few)
        assert [note["params"]["group"] for note in result["notes"]] == ["x"]
        assert cast.metric(result, "group_population_stability_index", "sex")["denominators"]["groups"] == 1
        none = run(few, few, parameters={"min_group": 5_000})
        found = cast.metric(none, "group_population_stability_index", "sex")
        assert found["undefined"]["code"] == "no_group_large_enough"

    def test_columns_only_in_one_are_named_and_asked_ones_must_be_there(self) -> None:
        result = run(tables(), tables().drop(columns="region"))
        assert result["notes"][0] == {
            "code": "column_only_in",
            "params": {"column": "region", "role": "training"},
        }
        asked = run(tables(), tables(), parameters={"columns": ["nothing"]})
        assert asked["error"] == {
            "code": "column_missing",
            "params": {"columns": "nothing", "reader": "drift"},
        }


def from_sketch(stored: dict[str, Any], evaluation: pd.DataFrame) -> dict[str, Any]:
    inputs = CheckInput(
        check=CHECK,
        version="1",
        parameters={},
        seed=7,
        semantics=cast.semantics(sensitive={"sex": {"use": "monitored"}}),
        materials=(Material("training", "sha256:00", "sketch"), Material("evaluation", "sha256:00", "csv")),
    )
    files = {"training": io.BytesIO(json.dumps(stored).encode()), "evaluation": cast.data_file(evaluation)}
    return execute(inputs.to_json(), files)
