"""data.quality in shares: any cut, any order, one pass or many workers: the same bytes, and pandas' own figures."""

from __future__ import annotations

import itertools
import json
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audits.canonical import digest_of
from audits.checks import mapped, parts, streams
from audits.checks.contract import CheckInput, Material
from audits.checks.execute import execute
from audits.checks.labels import canonical_column
from audits.checks.materials import Materials
from audits.checks.proxies import cramers_v
from tests.checks import cast
from tests.checks.test_mapped import folder, row_groups, through_json

CHECK = "data.quality"
RULES = {
    "age": {"type": "number", "min": 25, "max": 70, "missing": False},
    "sex": {"values": ["f", "m"], "unique": True},
    "code": {"unique": True},
    "member": {"type": "boolean"},
    "absent": {"type": "text"},
}
PARAMETERS = {"schema": RULES, "as_of": "2026-11-30"}
DECLARED = cast.semantics(sensitive={"sex": {}, "age": {"bins": [40]}}, time_column="seen")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    monkeypatch.setattr(
        streams, "LIMIT", 200
    )  # so that columns have to be gone over, and rows come in buckets


def people(rows: int = 640, seed: int = 5) -> pd.DataFrame:
    """Each type with gaps in some batches only, a column without anything, rows that come twice far apart."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": random.choice(["f", "m", "x"], rows),
            "age": random.integers(20, 80, rows).astype(float),
            "visits": pd.array(random.integers(0, 5, rows), dtype="Int64"),
            "code": random.integers(0, 2**60, rows),
            "member": pd.array(random.random(rows) < 0.4, dtype="boolean"),
            "bmi": random.normal(25, 4, rows),
            "town": [f"town {n}" for n in random.integers(0, 400, rows)],
            "site": "here",
            "nothing": pd.array([None] * rows, dtype="string"),
            "seen": pd.date_range("2026-01-01", periods=rows, freq="h").astype("datetime64[us]"),
            "born": pd.date_range("1950-01-01", periods=rows, freq="D").date,
        }
    )
    frame["progression"] = (frame.bmi + random.normal(0, 3, rows) > 26).astype(int)
    frame.loc[:130, "sex"] = None
    frame.loc[300:310, ["age", "visits"]] = None
    frame.loc[620:, "member"] = None
    frame.loc[7, "bmi"] = np.inf
    frame.loc[8, "bmi"] = -np.inf
    frame.loc[500:550] = frame.loc[:50].to_numpy()
    return frame


def asked(
    training: Any, evaluation: Any, data_format: str = "parquet", **more: Any
) -> tuple[dict[str, Any], Any]:
    what = {"declared": DECLARED, "parameters": PARAMETERS, **more}
    inputs, files = cast.given(
        CHECK, training=training, evaluation=evaluation, data_format=data_format, **what
    )
    return inputs.to_json(), files


def shares_of(question: dict[str, Any], files: Any, part_rows: int) -> tuple[Any, list[Any]]:
    told = {"map_rows": 150, "part_rows": part_rows}
    layout = through_json(mapped.lay_out(through_json({**question, "mapped": told}), files))
    return layout["survey"], layout["shares"]


def counted(question: dict[str, Any], files: Any, survey: Any, share: Any) -> Any:
    told = {"survey": survey, "share": share}
    return through_json(mapped.compute(through_json({**question, "mapped": told}), files))["counted"]


def concluded(question: dict[str, Any], files: Any, survey: Any, results: list[Any]) -> dict[str, Any]:
    return mapped.conclude(
        through_json({**question, "mapped": {"survey": survey, "results": results}}), files
    )


def divided(question: dict[str, Any], files: Any, part_rows: int = 250) -> tuple[dict[str, Any], int]:
    survey, shares = shares_of(question, files, part_rows)
    results = [counted(question, files, survey, share) for share in reversed(shares)]
    return concluded(question, files, survey, results), len(results)


FRAME = people()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(60, 400), st.integers(60, 900), st.integers(50, 500), st.sampled_from([250, 5000]),
    st.lists(st.integers(1, 639), max_size=5, unique=True), st.randoms(use_true_random=False),
)  # fmt: skip
def test_however_it_is_cut_and_in_whatever_order(
    batch: int, group: int, part_rows: int, limit: int, cuts: list[int], random: Any
) -> None:
    """A file of any row groups as training data, the same rows as a folder of any files as evaluation data."""
    whole = digest_of(_at_once())
    with mock.patch.object(parts, "PART_ROWS", batch), mock.patch.object(streams, "LIMIT", limit):
        inputs, files = cast.given(
            CHECK, training=row_groups(FRAME, group), evaluation=folder(FRAME, sorted(cuts)),
            declared=DECLARED, parameters=PARAMETERS,
        )  # fmt: skip
        formats = {"training": "parquet", "evaluation": "parquet-folder"}
        question = inputs.to_json()
        question["materials"] = [{**each, "format": formats[each["role"]]} for each in question["materials"]]
        survey, shares = shares_of(question, files, part_rows)
        random.shuffle(shares)
        results = [counted(question, files, survey, share) for share in shares]
        random.shuffle(results)
        assert digest_of(concluded(question, files, survey, results)) == whole
        assert digest_of(execute(question, files)) == whole


def _at_once() -> dict[str, Any]:
    with mock.patch.object(parts, "PART_ROWS", 10**6), mock.patch.object(streams, "LIMIT", 10**6):
        result = execute(*asked(row_groups(FRAME, 500), row_groups(FRAME, 500)))
    assert result["outcome"] == "completed", result["error"]
    return result


def test_the_figures_are_those_of_pandas() -> None:
    question, files = asked(row_groups(FRAME, 200), row_groups(FRAME, 90))
    result, count = divided(question, files)
    assert count > 30
    frame = pd.read_parquet(cast.data_file(row_groups(FRAME, 500)))

    def of(name: str) -> Any:
        return cast.metric(result, name, group="training")

    assert of("rows")["value"] == 640
    assert of("missing_ratio")["denominators"]["missing"] == int(frame.isna().sum().sum())
    assert of("duplicate_ratio")["denominators"]["duplicates"] == int(frame.duplicated().sum()) >= 51
    assert of("infinite_cells")["value"] == 4
    assert of("constant_columns")["value"] == 2
    columns = cast.table(result, "columns").query("dataset == 'training'").set_index("column")
    for name in frame:
        assert columns.distinct[name] == frame[name].nunique(), name
        assert columns.missing[name] == int(frame[name].isna().sum()), name
    assert (columns.minimum["bmi"], columns.maximum["bmi"]) == (
        frame.bmi[np.isfinite(frame.bmi)].min(), frame.bmi[np.isfinite(frame.bmi)].max(),
    )  # fmt: skip
    assert columns.type.to_dict() == {
        "sex": "text", "age": "number", "visits": "number", "code": "number", "member": "text", "bmi": "number",
        "town": "text", "site": "text", "nothing": "empty", "seen": "date", "born": "text", "progression": "number",
    }  # fmt: skip
    codes, _ = canonical_column(frame.progression)
    with np.errstate(invalid="ignore"):
        strengths = {
            name: cramers_v(frame[name], codes) for name in frame if name not in ("progression", "seen")
        }
    strongest = max((value, n) for value, n in strengths.values() if value is not None)
    assert (of("strongest_target_association")["value"], of("strongest_target_association")["n"]) == strongest
    rules = (
        cast.table(result, "schema").query("dataset == 'training'").set_index(["column", "rule"]).violations
    )
    assert rules.to_dict() == {
        ("age", "type"): 0,
        ("age", "min"): int((frame.age < 25).sum()),
        ("age", "max"): int((frame.age > 70).sum()),
        ("age", "missing"): int(frame.age.isna().sum()),
        ("sex", "values"): int((frame.sex == "x").sum()),
        ("sex", "unique"): int(frame.sex.dropna().duplicated().sum()),
        ("code", "unique"): int(frame.code.duplicated().sum()),
        ("member", "type"): 640,
        ("absent", "present"): 640,
    }
    assert of("data_age_days")["value"] == (pd.Timestamp("2026-11-30") - frame.seen.max().normalize()).days


@pytest.mark.parametrize("task", ["regression", "multi-class"])
def test_other_tasks(task: str) -> None:
    frame = people().assign(grade=lambda data: np.digitize(data.bmi, [22, 25, 28]))
    target = "bmi" if task == "regression" else "grade"
    if task == "regression":
        frame = frame.assign(bmi=np.nan_to_num(frame.bmi, posinf=40.0, neginf=10.0))
    declared = {
        **DECLARED,
        "task": task,
        "target": target,
        "output": "value" if task == "regression" else "label",
    }
    question, files = asked(row_groups(frame, 200), row_groups(frame, 90), declared=declared)
    result, _ = divided(question, files)
    found = cast.metric(result, "strongest_target_association", group="evaluation")
    assert found["value"] > 0.1
    with mock.patch.object(parts, "PART_ROWS", 10**6):
        assert digest_of(result) == digest_of(execute(question, files))


def test_a_target_of_very_many_labels_is_counted_not_kept() -> None:
    frame = people(1100).assign(progression=[f"label {n % 1050}" for n in range(1100)])
    question, files = asked(row_groups(frame, 200), row_groups(frame, 90))
    result, _ = divided(question, files)
    undefined = cast.metric(result, "minority_class_ratio", group="training")["undefined"]
    assert (undefined["code"], undefined["params"]["count"]) == ("target_not_categorical", 1050)
    survey, _ = shares_of(question, files, 250)
    assert survey["training"]["labels"] == {"number": 1050}


def test_short_training_data_beside_long_evaluation_data() -> None:
    question, files = asked(row_groups(FRAME.iloc[:90], 50), row_groups(FRAME, 90))
    _, shares = shares_of(question, files, 250)
    assert [share["rows"] for share in shares if share["role"] == "training"] == [90]
    result, _ = divided(question, files)
    assert result["outcome"] == "completed"
    assert digest_of(result) == digest_of(execute(question, files))


def test_several_training_files_are_read_as_one_table() -> None:
    inputs, files = cast.given(
        CHECK, evaluation=row_groups(FRAME, 90), data_format="parquet", declared=DECLARED
    )
    files |= {name: cast.data_file(FRAME.iloc[rows], "parquet") for name, rows in (
        ("training", slice(0, 400)), ("training:2", slice(400, None)),
    )}  # fmt: skip
    both = (Material("training", "sha256:00", "parquet"), Material("training:2", "sha256:00", "parquet"))
    question = CheckInput(**{**vars(inputs), "materials": (*both, *inputs.materials)}).to_json()
    result, _ = divided(question, files)
    assert cast.metric(result, "rows", group="training")["value"] == 640
    assert Materials(CheckInput.from_json(question), files).parts("training") is None


@pytest.mark.parametrize(
    ("change", "code", "rows"),
    [
        (
            {"seen": ["yesterday" if n in (3, 500, 630) else "2026-01-01" for n in range(640)]},
            "time_unreadable",
            3,
        ),
        ({"progression": None}, "target_missing", None),
    ],
)
def test_errors_have_the_words_of_the_one_pass(change: dict[str, Any], code: str, rows: int | None) -> None:
    frame = FRAME.drop(columns=[name for name, value in change.items() if value is None])
    frame = frame.assign(**{name: value for name, value in change.items() if value is not None})
    question, files = asked(row_groups(frame, 200), row_groups(frame, 90))
    once = execute(question, files)
    assert (once["error"]["code"], once["error"]["params"].get("rows")) == (code, rows)
    if rows is not None:
        assert divided(question, files)[0] == once
        with mock.patch.object(parts, "PART_ROWS", 10**6):
            assert execute(question, files) == once


@pytest.mark.parametrize(
    "spoil",
    [
        lambda results: results.pop(),
        lambda results: results.append(results[0]),
        lambda results: results.append(results[-1]),
        lambda results: next(one for one in results if one["columns"])["columns"].popitem(),
        lambda results: next(one for one in results if one["tally"])["tally"].update(rows=-1),
        lambda results: next(one for one in results if one["tally"])["tally"]["missing"].update(other=1),
        lambda results: next(one for one in results if one["tally"])["tally"]["infinite"].update(bmi=0.5),
        lambda results: next(one for one in results if one["bucket"])["bucket"].__setitem__(0, 9),
    ],
)
def test_counts_that_cannot_be_are_an_error(spoil: Any) -> None:
    question, files = asked(row_groups(FRAME, 200), row_groups(FRAME, 90))
    survey, shares = shares_of(question, files, 600)
    results = [counted(question, files, survey, share) for share in shares]
    assert concluded(question, files, survey, results)["outcome"] == "completed"
    spoil(results)
    result = concluded(question, files, survey, results)
    assert (result["outcome"], result["error"]["code"]) == ("errored", "check_crashed")


def test_what_is_exchanged_holds_no_row() -> None:
    """Of a column of codes and names, each of one person, neither survey nor counts say any."""
    frame = FRAME.assign(town=[f"person {n}" for n in range(len(FRAME))])
    question, files = asked(row_groups(frame, 200), row_groups(frame, 90))
    survey, shares = shares_of(question, files, 250)
    told = json.dumps([survey, [counted(question, files, survey, share) for share in shares]])
    assert not any(f"person {n}" in told for n in range(len(frame)))
    assert len(told) < 60_000


def test_a_file_is_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    question, files = asked(row_groups(FRAME, 200), row_groups(FRAME, 90))

    def frame(self: Materials, role: str) -> pd.DataFrame:
        raise AssertionError("read at once")

    with mock.patch.object(Materials, "frame", frame):
        with pytest.raises(AssertionError):
            Materials(CheckInput.from_json(question), files).frame("training")
        question["semantics"] = {**question["semantics"], "time_column": None}
        assert execute(question, files)["outcome"] == "completed"


def test_every_share_is_of_one_kind_and_together_they_are_all() -> None:
    question, files = asked(row_groups(FRAME, 200), row_groups(FRAME, 90))
    _, shares = shares_of(question, files, 250)
    for role in ("training", "evaluation"):
        mine = [share for share in shares if share["role"] == role]
        assert sum(share["rows"] for share in mine) == 640
        assert list(itertools.chain(*(share["columns"] for share in mine))) == list(FRAME.columns)
        assert [share["bucket"] for share in mine if share["bucket"]] == [[place, 4] for place in range(4)]
