"""Sketches: they hold enough, tell of nobody, do not depend on how the rows are cut, and are read with distrust."""

from __future__ import annotations

import io
import itertools
import json
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.checks import parts, quantiles
from audits.checks import sketches as making
from audits.checks.cells import cell_codes, rounded
from audits.checks.contract import CheckError
from audits.checks.quantiles import order_statistics
from audits.checks.sketch_form import (
    DIGITS,
    MAX_BYTES,
    ZONE_DIGITS,
    K,
    Reference,
    Sketch,
    admitted,
    from_bytes,
    from_json,
    places,
    put_together,
    small_cells,
)
from audits.checks.sketches import Table, counted_like, reference, sketch, to_json
from audits.checks.sketching import execute
from tests.checks.cast import data_file
from tests.checks.test_drift import tables

SENSITIVE: dict[str, tuple[float, ...]] = {"sex": (), "age": (40.0, 65.0)}


def people(rows: int = 400, seed: int = 1) -> pd.DataFrame:
    """With few of everything: rare groups, rare levels, few empty cells, ages at the ends."""
    stream = np.random.default_rng(seed)
    shares = stream.dirichlet([2, 2, 0.1])
    frame = pd.DataFrame(
        {
            "sex": stream.choice(["f", "m", "x"], rows, p=shares),
            "age": stream.integers(10, 100, rows).astype(float),
            "income": stream.lognormal(3, 2, rows),
            "town": stream.choice([f"t{n}" for n in range(20)], rows, p=stream.dirichlet([0.3] * 20)),
            "flag": stream.integers(0, 2, rows),
        }
    )
    for name in ("age", "income", "town", "sex"):
        few = stream.choice(rows, int(stream.integers(0, min(25, rows))), replace=False)
        frame.loc[few, name] = None
    frame.loc[frame.sex == "m", "flag"] = 1
    return frame


def known_differences(found: Reference, attribute: str, name: str) -> Any:
    """Every count that is stored, or that stored counts give by adding and subtracting whole cells: the column without
    each choice of groups, over the finest cells that they have in common."""
    whole, groups = found.columns[name], found.groups[attribute].columns[name]  # type: ignore[index]
    for size in range(len(groups) + 1):
        for chosen in itertools.combinations(groups, size):
            coarsest = (
                chosen[-1] if chosen else whole
            )  # the cells of a later group are those of an earlier together
            left = put_together(list(whole.cells), places(whole, coarsest))
            for part in chosen:
                for at, count in enumerate(put_together(list(part.cells), places(part, coarsest))):
                    left[at] -= count
            yield from left
            yield from (count for part in chosen for count in part.cells)


class TestNobodyIsFound:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10_000), st.integers(K, 600), st.sampled_from([K, 12, 25]))
    def test_no_cell_and_no_difference_holds_fewer_than_k_rows(self, seed: int, rows: int, k: int) -> None:
        frame = people(rows, seed)
        if frame["sex"].isna().all() or frame["age"].isna().all() or rows < k:
            return
        found = reference(Table.of(frame), SENSITIVE, k)
        for name, whole in found.columns.items():
            assert all(count == 0 or count >= k for count in whole.cells), name
            assert sum(whole.cells) == rows
            if whole.kind == "numbers":
                assert 0 not in whole.counts
        for attribute, each in (found.groups or {}).items():
            assert all(size >= max(30, k) for size in each.rows)
            left = rows - sum(each.rows)
            assert left == 0 or left >= k
            for name in each.columns:
                counts = list(known_differences(found, attribute, name))
                assert all(count == 0 or count >= k for count in counts), (attribute, name)
        assert list(small_cells(found)) == []
        assert admitted(json.loads(json.dumps(found.to_json())), k) == found

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.integers(60, 600))
    def test_nor_do_the_sizes_of_groups_beside_the_cells_of_their_own_column(
        self, seed: int, rows: int
    ) -> None:
        frame = people(rows, seed)
        found = reference(Table.of(frame), SENSITIVE)
        for attribute, bins in SENSITIVE.items():
            whole, each = found.columns[attribute], found.groups[attribute]  # type: ignore[index]
            tally = making.GroupTally(attribute, bins)
            tally.add(frame[attribute])
            named = making._named(tally, rows, K)
            codes = named.into(tally.codes(frame[attribute], named.names))
            cells = cell_codes(whole, frame[attribute], attribute)
            if whole.missing is None:
                cells = np.minimum(cells, len(whole.counts) - 1)
            both = np.unique(np.stack([codes, cells]), axis=1, return_counts=True)[1]
            assert (both >= K).all(), attribute
            assert each.names == tuple(named.names)

    def test_no_extreme_and_no_single_value_is_kept(self) -> None:
        values = np.random.default_rng(0).lognormal(10, 1, 5_000)
        found = sketch(pd.Series(values), "income")
        assert not set(found.edges) & set(values)
        assert min(values) < found.edges[0]
        assert found.edges[-1] < max(values)
        assert len(found.edges) > 60
        values = pd.Series([*range(95), 1e9, *[7.0] * 60])
        assert max(sketch(values, "income").edges) < 1e9

    def test_rare_values_are_not_named_nor_counted_alone(self) -> None:
        found = sketch(pd.Series(["common"] * 20 + ["second"] * 15 + ["one person"] + [None] * 2), "job")
        assert found == Sketch("categories", (), ("common",), (20, 18), None)
        assert "one person" not in json.dumps(found.to_json())

    def test_a_column_of_names_has_no_levels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frame = pd.DataFrame({"name": ["the same"] * 50 + [f"person {n}" for n in range(50)]})
        assert reference(Table.of(frame), {}).columns["name"].levels == ("the same",)
        monkeypatch.setattr(making, "DISTINCT", 40)
        assert reference(Table.of(frame), {}).columns["name"] == Sketch("categories", (), (), (100,), 0)

    def test_a_long_text_is_no_level(self) -> None:
        frame = pd.DataFrame({"text": ["x" * 300] * 40 + ["y"] * 40})
        assert reference(Table.of(frame), {"text": ()}).columns["text"].levels == ("y",)

    def test_what_would_tell_is_not_admitted(self) -> None:
        stored = to_json(people(), sensitive=SENSITIVE)
        assert admitted(stored, K)
        for k in (K - 1, K + 1):
            with pytest.raises(CheckError) as caught:
                admitted(stored, k)
            assert caught.value.message.code == "sketch_tells_too_much"

    @pytest.mark.parametrize("left", [3, -3])
    def test_nor_is_what_would_tell_by_subtraction(self, left: int) -> None:
        stored = to_json(tables(), sensitive={"sex": ()})
        assert admitted(stored, K)
        first, second = stored["groups"]["sex"]["columns"]["income"]
        for part, moved in ((first, 0), (second, left)):  # two groups, and nobody is in neither
            part["counts"][0] += moved
            part["counts"][1] -= moved
        assert all(count >= K for count in second["counts"])
        with pytest.raises(CheckError) as caught:
            admitted(stored, K)
        assert caught.value.message.code == "sketch_tells_too_much"


class TestMaking:
    def test_counting_in_its_cells_is_counting_itself(self) -> None:
        frame = tables()
        for name in frame.columns:
            whole = sketch(frame[name], name)
            counts, missing = counted_like(whole, frame[name], name)
            assert (tuple(counts), missing) == (whole.counts, whole.missing)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.lists(st.integers(1, 400), max_size=6), st.booleans())
    def test_how_the_rows_are_cut_and_ordered_changes_nothing(
        self, seed: int, cuts: list[int], searched: bool
    ) -> None:
        frame = people(400, seed)
        whole = reference(Table.of(frame), SENSITIVE)
        turned = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
        places_ = [0, *sorted(set(cuts)), 400]
        pieces = [turned[low:high] for low, high in itertools.pairwise(places_) if low < high]
        with pytest.MonkeyPatch.context() as patch:
            if searched:
                patch.setattr(quantiles, "DISTINCT", 3)
            table = Table(frame.columns, lambda names: [piece[names] for piece in pieces])
            assert reference(table, SENSITIVE) == whole

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=200),
        st.integers(1, 50),
        st.data(),
    )
    def test_order_statistics_are_exact(self, values: list[float], piece: int, data: Any) -> None:
        column = pd.Series(values, dtype=float)
        known = np.sort(column.dropna().to_numpy())
        if not len(known):
            return
        ranks = data.draw(st.lists(st.integers(0, len(known) - 1), min_size=1, max_size=9))
        ranks = sorted(set(ranks))
        frames = [column[at : at + piece].to_frame("x") for at in range(0, len(column), piece)]
        found = order_statistics(lambda names: frames, {"x": ranks})["x"]
        assert found.tolist() == known[ranks].tolist()

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30, unique=True), st.integers(0, 6))
    def test_edges_only_move_up_and_never_past_the_next(self, values: list[int], digits: int) -> None:
        edges = np.unique(np.array(values) / 10**digits)
        found = rounded(edges)
        assert len(found) == len(edges)
        for place, (edge, moved) in enumerate(zip(edges, found, strict=True)):
            assert moved >= edge
            if place + 1 < len(edges):
                assert moved <= edges[place + 1]

    def test_edges_read_well(self) -> None:
        assert rounded(np.array([0.1, 0.2, 0.3])) == [0.1, 0.2, 0.3]
        assert rounded(np.array([1234.5, 2345.6, 7890.1])) == [2000.0, 3000.0, 10000.0]
        assert rounded(np.array([0.0])) == [0.0]

    def test_edges_that_leave_a_zone_have_four_digits(self) -> None:
        phones = pd.DataFrame({"phone": np.arange(910_000_000, 910_000_600), "year": [1990, 2024] * 300})
        found = reference(Table.of(phones), {}, digits=ZONE_DIGITS)
        assert found.columns["phone"].edges == ()
        assert found.columns["year"].edges == (2000.0,)
        assert admitted(found.to_json(), K, ZONE_DIGITS)
        with pytest.raises(CheckError) as caught:
            admitted(to_json(phones), K, ZONE_DIGITS)
        assert caught.value.message.code == "sketch_tells_too_much"

    def test_groups_are_those_of_the_data(self) -> None:
        frame = tables()
        found = reference(Table.of(frame), {"sex": ()})
        each = found.groups["sex"]  # type: ignore[index]
        for name, rows, part in zip(each.names, each.rows, each.columns["income"], strict=True):
            inside = frame[frame.sex == name]
            assert rows == len(inside)
            assert part.counts == tuple(counted_like(part, inside["income"], "income")[0])

    def test_what_cannot_be_a_sketch_is_said(self) -> None:
        for frame, sensitive, code in (
            (tables().assign(income=np.inf), {}, "column_not_finite"),
            (tables(), {"nothing": ()}, "sensitive_missing"),
            (tables(), {"income": ()}, "sensitive_needs_bins"),
            (tables(), {"sex": (1.0,)}, "sensitive_not_numeric"),
            (tables().assign(sex=None), {"sex": ()}, "sensitive_all_missing"),
            (tables().assign(sex=[f"g{n}" for n in range(600)]), {"sex": ()}, None),
            (
                pd.DataFrame({"sex": [f"g{n}" for n in range(1_001)]}),
                {"sex": ()},
                "too_many_groups",
            ),
        ):
            if code is None:
                assert reference(Table.of(frame), sensitive).groups["sex"].names == ()  # type: ignore[index]
                continue
            with pytest.raises(CheckError) as caught:
                reference(Table.of(frame), sensitive)
            assert caught.value.message.code == code


class TestReading:
    def test_it_comes_back_from_json_as_it_went(self) -> None:
        found = reference(Table.of(people()), SENSITIVE)
        assert from_bytes(json.dumps(found.to_json()).encode()) == found

    @pytest.mark.parametrize(
        "change",
        [
            {"format": "other"},
            {"format": 2},
            {"more": 1},
            {"k": 1},
            {"k": 10.0},
            {"rows": -1},
            {"rows": 10**30},
            {"rows": 7},
            {"columns": {"a": {}}},
            {"columns": []},
            {"groups": None},
            {"groups": {"sex": {}}},
        ],
    )
    def test_what_is_no_sketch_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(CheckError) as caught:
            from_json({**to_json(people(), sensitive=SENSITIVE), **change})
        assert caught.value.message.code == "sketch_unreadable"

    @pytest.mark.parametrize(
        "cells",
        [
            {"kind": "numbers", "edges": [2, 1], "counts": [100, 100, 200]},
            {"kind": "numbers", "edges": [1], "counts": [400]},
            {"kind": "numbers", "edges": [1], "counts": [401, -1]},
            {"kind": "numbers", "edges": [1], "counts": [True, 399]},
            {"kind": "numbers", "edges": ["1"], "counts": [200, 200]},
            {"kind": "numbers", "edges": [float("nan")], "counts": [200, 200]},
            {"kind": "numbers", "edges": [float("inf")], "counts": [200, 200]},
            {"kind": "numbers", "edges": [10**400], "counts": [200, 200]},
            {"kind": "numbers", "edges": [1], "levels": ["a"], "counts": [200, 200]},
            {"kind": "numbers", "edges": list(range(500)), "counts": [400] + [0] * 500},
            {"kind": "categories", "levels": ["a", "a"], "counts": [100, 100, 200]},
            {"kind": "categories", "levels": [1], "counts": [200, 200]},
            {"kind": "empty", "counts": [], "missing": None},
            {"kind": "empty", "counts": [], "missing": float("nan")},
            {"kind": "?", "counts": []},
        ],
    )
    def test_nor_is_a_column_that_cannot_be(self, cells: dict[str, Any]) -> None:
        stored = to_json(people(), sensitive={})
        stored["columns"]["income"] = {"edges": [], "levels": [], "missing": 0, **cells}
        with pytest.raises(CheckError) as caught:
            from_json(stored)
        assert caught.value.message.code == "sketch_unreadable"

    @pytest.mark.parametrize(
        "change",
        [
            {"names": ["f", "f"]},
            {"rows": [1, 400]},
            {"merged": "nobody"},
            {"merged": True},
            {"bins": [2, 1]},
            {"columns": {"nothing": []}},
            {"columns": {"income": []}},
        ],
    )
    def test_nor_are_groups_that_cannot_be(self, change: dict[str, Any]) -> None:
        stored = to_json(people(seed=4), sensitive={"sex": ()})
        assert len(stored["groups"]["sex"]["names"]) == 2
        stored["groups"]["sex"] |= change
        with pytest.raises(CheckError) as caught:
            from_json(stored)
        assert caught.value.message.code == "sketch_unreadable"

    def test_cells_of_a_group_that_its_column_has_not(self) -> None:
        stored = to_json(people(seed=4), sensitive={"sex": ()})
        stored["groups"]["sex"]["columns"]["income"][0]["edges"][0] += 1e-9
        with pytest.raises(CheckError) as caught:
            from_json(stored)
        assert caught.value.message.code == "sketch_unreadable"

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "sketch_unreadable"),
            (b"\xff\xfe", "sketch_unreadable"),
            (b"[" * 100_000, "sketch_unreadable"),
            (b'{"format": "crivo-sketch-2", "k": NaN}', "sketch_unreadable"),
            (b"null", "sketch_unreadable"),
            (b" " * (MAX_BYTES + 1), "sketch_too_large"),
        ],
    )
    def test_bytes_that_are_none(self, content: bytes, code: str) -> None:
        with pytest.raises(CheckError) as caught:
            from_bytes(content)
        assert caught.value.message.code == code


class TestTheChildsEntry:
    def question(self, format_: str = "parquet", k: int = K) -> dict[str, Any]:
        material = {"role": "reference", "digest": "sha256:00", "format": format_, "dialect": {}}
        return {
            "materials": [material],
            "sensitive": {"sex": {}, "age": {"bins": [40, 65]}},
            "k": k,
            "digits": DIGITS,
        }

    def test_the_same_from_any_form_of_the_data(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frame = people()
        found = execute(self.question("csv"), {"reference": data_file(frame)})["sketch"]
        assert found == to_json(frame, sensitive=SENSITIVE)
        monkeypatch.setattr(parts, "PART_ROWS", 90)
        content = data_file(frame, "parquet")
        assert execute(self.question(), {"reference": content})["sketch"] == found

    def test_memory_does_not_grow_with_the_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ten times the row groups, of values that are searched for digit by digit."""
        monkeypatch.setattr(parts, "PART_ROWS", 5_000)
        monkeypatch.setattr(quantiles, "DISTINCT", 100)
        question = self.question() | {"sensitive": {"sex": {}}}
        peaks = []
        for groups in (1, 4, 40):  # the first one warms up
            stream = np.random.default_rng(groups)
            frame = pd.DataFrame({f"x{n}": stream.normal(size=5_000 * groups) for n in range(6)})
            frame["sex"] = stream.choice(["f", "m"], len(frame))
            content = io.BytesIO(frame.to_parquet(index=False, row_group_size=5_000))
            del frame
            tracemalloc.start()
            assert "sketch" in execute(question, {"reference": content})
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[2] < 1.5 * peaks[1], peaks

    def test_what_makes_no_groups_has_none(self) -> None:
        """The declaration cannot be changed any more: better a sketch without these groups than none."""
        question = self.question("csv") | {"sensitive": {"sex": {}, "income": {}, "town": {"bins": [1]}}}
        found = execute(question, {"reference": data_file(people())})["sketch"]
        assert found == to_json(people(), sensitive={"sex": ()})

    def test_what_is_wrong_is_an_answer(self) -> None:
        few = data_file(people()[:9])
        assert execute(self.question("csv"), {"reference": few}) == {
            "error": {"code": "sketch_too_few_rows", "params": {"minimum": K}}
        }
        broken = execute(self.question(), {"reference": io.BytesIO(b"PAR1 no")})
        assert broken["error"]["code"] == "parquet_unreadable"

    def test_more_than_may_be_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(making, "MAX_BYTES", 1_000)
        found = execute(self.question("csv"), {"reference": data_file(people())})
        assert found == {"error": {"code": "sketch_too_large", "params": {"limit_bytes": 1_000}}}
