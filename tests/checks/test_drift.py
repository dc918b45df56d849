"""Drift: sketches that hold enough and not too much, distances as the libraries have them, and the check end to end."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from audits.canonical import digest_of
from audits.checks import distances, drift, parts, quantiles
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckInput, Material
from audits.checks.execute import execute, plain
from audits.checks.materials import Materials
from audits.checks.sketches import counted_like, sketch, to_json
from tests.checks import cast
from tests.checks.test_mapped import divided

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

    @pytest.mark.parametrize("role", ["training", "reference"])
    def test_a_stored_sketch_gives_the_figures_the_data_gives(self, role: str) -> None:
        training, evaluation = tables(), tables(moved=5.0)
        training.loc[:4, "income"] = None
        training.loc[7:9, "sex"] = "x"
        from_data = run(training, evaluation)
        result = from_sketch(to_json(training, sensitive={"sex": ()}), evaluation, role)
        assert cast.codes(result) == ["reference_is_sketch", *cast.codes(from_data)]
        assert result["metrics"] == from_data["metrics"]
        assert result["tables"] == from_data["tables"]
        assert cast.metric(result, "group_population_stability_index", "sex")["value"] > 0.25

    def test_data_that_can_be_read_are_read(self) -> None:
        stored = to_json(tables(moved=50.0), sensitive={"sex": ()})
        inputs, files = asked(stored, tables(), "reference")
        files["training"] = cast.data_file(tables())
        inputs = replace(inputs, materials=(Material("training", "sha256:00", "csv"), *inputs.materials))
        assert execute(inputs.to_json(), files) == run(tables(), tables())

    def test_the_first_format_knows_no_groups(self) -> None:
        stored = to_json(tables())
        first = {"format": "crivo-sketch-1", "rows": stored["rows"], "columns": stored["columns"]}
        result = from_sketch(first, tables(moved=5.0))
        assert cast.codes(result) == ["reference_is_sketch", "sketch_without_groups"]
        assert cast.metric(result, "population_stability_index", "income") == cast.metric(
            run(tables(), tables(moved=5.0)), "population_stability_index", "income"
        )

    @pytest.mark.parametrize(
        ("declared", "stored", "code"),
        [
            ({"sex": {}}, {}, "reference_without_attribute"),
            ({"income": {"bins": [100]}}, {"income": (90.0,)}, "reference_bins_differ"),
        ],
    )
    def test_groups_it_does_not_have_are_no_figure(self, declared: Any, stored: Any, code: str) -> None:
        (attribute,) = declared
        result = from_sketch(
            to_json(tables(), sensitive=stored), tables(), declared=cast.semantics(sensitive=declared)
        )
        found = cast.metric(result, "group_population_stability_index", attribute)
        assert (found["value"], found["undefined"]["code"]) == (None, code)

    def test_few_rows_of_small_groups_are_said_to_be_with_another(self) -> None:
        few = tables().assign(sex=["x"] * 3 + ["f"] * 300 + ["m"] * 297)
        result = run(few, few)
        assert [(note["code"], note["params"]["group"]) for note in result["notes"]] == [
            ("group_with_others", "m"),
            ("group_not_in_reference", "x"),
        ]
        found = cast.metric(result, "group_population_stability_index", "sex")
        assert found["denominators"]["groups"] == 2

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


def asked(
    stored: dict[str, Any], evaluation: pd.DataFrame, role: str, declared: Any = None
) -> tuple[CheckInput, dict[str, Any]]:
    inputs = CheckInput(
        check=CHECK,
        version="2",
        parameters={},
        seed=7,
        semantics=declared or cast.semantics(sensitive={"sex": {"use": "monitored"}}),
        materials=(Material(role, "sha256:00", "sketch"), Material("evaluation", "sha256:00", "csv")),
    )
    return inputs, {role: io.BytesIO(json.dumps(stored).encode()), "evaluation": cast.data_file(evaluation)}


def from_sketch(
    stored: dict[str, Any], evaluation: pd.DataFrame, role: str = "training", declared: Any = None
) -> dict[str, Any]:
    inputs, files = asked(stored, evaluation, role, declared)
    return execute(inputs.to_json(), files)


class TestInParts:
    """What is counted in batches, and added up from several of them, has the bytes of the one pass."""

    @pytest.fixture
    def people(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        found = []
        for moved in (0.0, 4.0):
            frame = tables(1_000, moved)
            frame.loc[:130, "income"] = None
            frame.loc[940:, "region"] = "rare"
            frame.loc[:120, "sex"] = None
            found.append(frame)
        return found[0], found[1]

    @pytest.mark.parametrize("rows", [1, 7, 100, 999])
    def test_the_same_bytes(
        self, people: tuple[pd.DataFrame, pd.DataFrame], rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        what = {
            "training": people[0],
            "evaluation": people[1],
            "declared": cast.semantics(sensitive={"sex": {}, "income": {"bins": [100]}}),
            "data_format": "parquet",
            "parameters": {"replicates": 100, "min_group": 30},
        }
        if rows == 1:  # slow, and enough with fewer
            what |= {"training": people[0][:300], "evaluation": people[1][:300]}
        whole = cast.run(CHECK, **what)
        assert cast.metric(whole, "group_population_stability_index", "sex")["value"] is not None
        monkeypatch.setattr(parts, "PART_ROWS", rows)
        monkeypatch.setattr(quantiles, "DISTINCT", 5)  # so that quantiles are searched for
        assert digest_of(cast.run(CHECK, **what)) == digest_of(whole)

    def test_what_several_counted_adds_up(self, people: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        what = {
            "training": people[0],
            "evaluation": people[1],
            "declared": cast.semantics(sensitive={"sex": {}}),
            "data_format": "parquet",
        }
        inputs, files = cast.given(CHECK, **what)
        materials = Materials(inputs, files)
        reference, _ = drift.reference_of(materials)
        total = drift.counts_for(inputs, materials, reference)
        for rows in (people[1][:400], people[1][400:]):
            one = drift.counts_for(inputs, materials, reference)
            one.add(rows.reset_index(drop=True))
            total.merge(json.loads(json.dumps(one.to_json())))
        result = drift.concluded(inputs, materials, total, [])
        assert digest_of(plain(result.to_json())) == digest_of(cast.run(CHECK, **what))

    @pytest.mark.parametrize("part_rows", [100, 350])
    @pytest.mark.parametrize("role", ["training", "reference"])
    def test_divided_among_workers(
        self,
        people: tuple[pd.DataFrame, pd.DataFrame],
        part_rows: int,
        role: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(parts, "PART_ROWS", 100)
        declared = cast.semantics(sensitive={"sex": {}, "income": {"bins": [100]}})
        inputs, files = cast.given(
            CHECK, training=people[0], evaluation=people[1], data_format="parquet", declared=declared
        )
        if role == "reference":
            stored = to_json(people[0], sensitive={"sex": (), "income": (100.0,)})
            kept, files["reference"] = (
                Material(role, "sha256:00", "sketch"),
                io.BytesIO(json.dumps(stored).encode()),
            )
            inputs = replace(inputs, materials=(*inputs.materials, kept))
            del files["training"]
        question = json.loads(json.dumps(inputs.to_json()))
        result, count = divided(question, files, part_rows)
        assert count == {100: 10, 350: 3}[part_rows]
        assert ("reference_is_sketch" in cast.codes(result)) == (role == "reference")
        assert cast.metric(result, "group_population_stability_index", "sex")["value"] is not None
        assert digest_of(result) == digest_of(execute(question, files))

    def test_what_is_wrong_in_one_part_is_an_error_of_the_whole(
        self, people: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parts, "PART_ROWS", 100)
        people[1].loc[555, "income"] = np.inf
        inputs, files = cast.given(CHECK, training=people[0], evaluation=people[1], data_format="parquet")
        inputs = replace(inputs, semantics=cast.semantics(sensitive={}))
        result, _ = divided(json.loads(json.dumps(inputs.to_json())), files, 300)
        assert result["error"] == {"code": "column_not_finite", "params": {"column": "income"}}

    @pytest.mark.parametrize(
        "change",
        [
            {"rows": -1},
            {"columns": {}},
            {"crossed": []},
            {"columns": {"sex": [1], "income": [1], "region": [1], "progression": [1]}},
        ],
    )
    def test_what_is_of_another_question_is_not_added(
        self, people: tuple[pd.DataFrame, pd.DataFrame], change: dict[str, Any]
    ) -> None:
        inputs, files = cast.given(
            CHECK,
            training=people[0],
            evaluation=people[1],
            declared=cast.semantics(sensitive={"sex": {}}),
        )
        materials = Materials(inputs, files)
        counts = drift.counts_for(inputs, materials, drift.reference_of(materials)[0])
        with pytest.raises(ValueError):
            counts.merge({**counts.to_json(), **change})

    def test_what_is_wrong_is_said_of_the_first_column_that_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        training, evaluation = tables().assign(other=1.5), tables().assign(other=2.5)
        evaluation.loc[10, "other"] = np.inf
        evaluation.loc[500, "income"] = np.inf
        monkeypatch.setattr(parts, "PART_ROWS", 100)
        result = run(training, evaluation, data_format="parquet")
        assert result["error"] == {"code": "column_not_finite", "params": {"column": "income"}}


def test_no_other_check_takes_a_sketch_for_data() -> None:
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    for slug, definition in CATALOGUE.items():
        if "training" not in definition.reads or definition.sketched:
            continue
        inputs, files = cast.given(slug, model=model, training=training, evaluation=evaluation)
        materials = tuple(
            replace(item, format="sketch") if item.role == "training" else item for item in inputs.materials
        )
        files["training"] = io.BytesIO(json.dumps(to_json(training)).encode())
        result = execute(replace(inputs, materials=materials).to_json(), files)
        assert result["error"] == {"code": "only_sketched", "params": {"role": "training"}}, slug
        assert result["metrics"] == []
