"""A check divided among workers: what comes out has the bytes of the one pass, and what goes wrong is never counted."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from audits.canonical import digest_of
from audits.checks import mapped, parts
from audits.checks.bias_mapped import _packed, _unpacked
from audits.checks.contract import CheckError
from audits.checks.execute import execute
from tests.checks import cast

CHECK = "bias.group_disparity"
PARAMETERS = {"intersections": 2, "replicates": 200}
DECLARED = cast.semantics(
    sensitive={"sex": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [40, 60]}, "site": {}}
)


@pytest.fixture(autouse=True)
def _short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 100)


def people(rows: int = 1234, seed: int = 5) -> pd.DataFrame:
    """Text, numbers, truth values and gaps, some of them in some parts only."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "sex": random.choice(["f", "m", "x"], rows, p=[0.5, 0.45, 0.05]),
            "age": random.integers(20, 80, rows).astype(float),
            "site": random.integers(1, 4, rows),
            "member": random.random(rows) < 0.4,
            "bmi": random.normal(25, 4, rows),
        }
    )
    drawn = frame.bmi + random.normal(0, 3, rows) + 2 * (frame.sex == "m")
    frame["progression"] = (drawn > 26).astype(int)
    frame["grade"] = np.digitize(drawn, [23, 27])
    frame.loc[rows - 60 :, "site"] = 9
    frame.loc[:250, "sex"] = None
    frame.loc[300:310, "age"] = None
    return frame


def one_hot() -> Any:
    return make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["sex"]), remainder="passthrough")


def binary(frame: pd.DataFrame) -> Any:
    model = make_pipeline(one_hot(), LogisticRegression(max_iter=2000))
    return model.fit(frame[["sex", "bmi", "member"]], frame.progression)


def graded(frame: pd.DataFrame) -> Any:
    model = make_pipeline(one_hot(), RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0))
    return model.fit(frame[["sex", "bmi", "site"]], frame.grade)


def folder(frame: pd.DataFrame, cuts: list[int], by: str = "", packed: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of Parquet files, cut at these rows."""
    buffer = io.BytesIO()
    edges = [0, *cuts, len(frame)]
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for place, (start, stop) in enumerate(itertools.pairwise(edges)):
            path = f"{by}={place % 2}/part-{place:03}.parquet" if by else f"part-{place:03}.parquet"
            archive.writestr(path, frame.iloc[start:stop].to_parquet(index=False))
    return buffer.getvalue()


def row_groups(frame: pd.DataFrame, size: int) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, row_group_size=size)
    return buffer.getvalue()


def asked(model: Any, content: Any, data_format: str = "parquet", **more: Any) -> tuple[dict[str, Any], Any]:
    given = {"declared": DECLARED, "parameters": PARAMETERS, **more}
    inputs, files = cast.given(CHECK, model=model, evaluation=content, data_format=data_format, **given)
    return inputs.to_json(), files


def through_json(value: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(value, allow_nan=False)))


def divided(question: dict[str, Any], files: Any, part_rows: int) -> tuple[dict[str, Any], int]:
    """The result over parts, as workers would do it one after the other; and how many there were."""

    def ask(entry: Any, **told: Any) -> dict[str, Any]:
        return through_json(entry(through_json({**question, "mapped": told}), files))

    layout = ask(mapped.lay_out, map_rows=150, part_rows=part_rows)
    results = []
    for share in reversed(layout["shares"]):  # the order in which they finish does not matter
        results.append(ask(mapped.compute, survey=layout["survey"], share=share)["counted"])
    return ask(mapped.conclude, survey=layout["survey"], results=results), len(results)


@pytest.mark.parametrize("part_rows", [100, 250, 600])
@pytest.mark.parametrize("size", [37, 100, 5000])
def test_a_long_file_gives_the_digest_of_its_one_pass(part_rows: int, size: int) -> None:
    frame = people()
    model = binary(frame)
    question, files = asked(model, row_groups(frame, size))
    result, count = divided(question, files, part_rows)
    assert count == {100: 12, 250: 4, 600: 2}[part_rows]
    assert result["outcome"] == "completed", result["error"]
    assert {item["id"] for item in result["tables"]} >= {"groups", "calibration_by_group"}
    assert cast.metric(result, "forbidden_attribute_flips")["value"] > 0
    assert digest_of(result) == digest_of(execute(question, files))


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("cuts", [[100, 101, 700], list(range(50, 1200, 50))])
def test_a_folder_gives_the_digest_of_its_one_pass(
    cuts: list[int], packed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = people()
    model = binary(frame)
    question, files = asked(model, folder(frame, cuts, packed=packed), "parquet-folder")
    result, count = divided(question, files, 250)
    assert count > 1
    assert result["outcome"] == "completed", result["error"]
    assert digest_of(result) == digest_of(execute(question, files))
    monkeypatch.setattr(parts, "PART_ROWS", 10_000)  # read at once
    assert digest_of(result) == digest_of(execute(question, files))


def test_folders_that_say_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = people()
    declared = cast.semantics(sensitive={"region": {"use": "monitored"}})
    content = folder(frame, [300, 700, 900], by="region")
    question, files = asked(binary(frame), content, "parquet-folder", declared=declared)
    result, _ = divided(question, files, 250)
    assert set(cast.table(result, "groups").group) == {"0", "1"}
    monkeypatch.setattr(parts, "PART_ROWS", 10_000)
    assert digest_of(result) == digest_of(execute(question, files))


def test_more_than_two_classes_give_the_digest_of_the_one_pass() -> None:
    frame = people()
    declared = {
        **DECLARED, "task": "multi-class", "target": "grade", "output": "label", "favourable_label": 2,
        "positive_label": None, "threshold": None,
    }  # fmt: skip
    question, files = asked(graded(frame), row_groups(frame, 200), declared=declared)
    result, count = divided(question, files, 300)
    assert count > 1
    assert result["outcome"] == "completed", result["error"]
    assert "one_vs_rest" in {item["id"] for item in result["tables"]}
    assert cast.metric(result, "attribute_flips", "site")["value"] > 0
    assert digest_of(result) == digest_of(execute(question, files))


def test_a_copy_of_the_target_is_found_over_all_parts() -> None:
    frame = people()
    frame["bmi"] = frame.progression * 2.0
    question, files = asked(binary(frame), row_groups(frame, 200))
    result, _ = divided(question, files, 300)
    assert result["error"]["code"] == "target_leaks"
    assert digest_of(result) == digest_of(execute(question, files))
    model = binary(frame)
    frame.loc[1230, "bmi"] = 2.0 - frame.loc[1230, "bmi"]
    question, files = asked(model, row_groups(frame, 200))
    assert divided(question, files, 300)[0]["outcome"] == "completed"


@pytest.mark.parametrize(
    "content",
    [
        lambda frame: frame.iloc[:140].to_parquet(index=False),
        lambda frame: frame.astype({"sex": "category"}).to_parquet(index=False),
    ],
)
def test_what_has_its_one_pass(content: Any) -> None:
    frame = people()
    question, files = asked(binary(frame), content(frame))
    laid_out = mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 100}}, files)
    assert laid_out == {"survey": None, "shares": []}


def test_a_regression_has_its_one_pass() -> None:
    from sklearn.linear_model import LinearRegression

    frame = people()
    model = LinearRegression().fit(frame[["bmi", "site"]], frame.grade)
    declared = {**DECLARED, "task": "regression", "target": "grade", "output": "value", "threshold": None}
    question, files = asked(model, row_groups(frame, 200), declared=declared)
    assert mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 300}}, files) == {
        "survey": None,
        "shares": [],
    }


def test_a_part_with_bad_rows_errors_and_so_does_one_that_is_not_what_was_laid_out() -> None:
    frame = people()
    model = binary(frame)
    frame.loc[850, "age"] = np.inf
    question, files = asked(model, row_groups(frame, 200), declared=cast.semantics(sensitive={"site": {}}))
    layout = mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 300}}, files)
    first = {"survey": layout["survey"], "share": layout["shares"][0]}
    assert sum(mapped.compute({**question, "mapped": first}, files)["counted"]["counts"]) == 300
    with pytest.raises(ValueError, match="rows"):
        mapped.compute({**question, "mapped": {**first, "share": {**first["share"], "rows": 299}}}, files)
    frame.loc[850, "progression"] = 7
    question, files = asked(model, row_groups(frame, 200), declared=cast.semantics(sensitive={"site": {}}))
    third = {"survey": layout["survey"], "share": layout["shares"][2]}
    with pytest.raises(Exception, match="label_unknown_to_model"):
        mapped.compute({**question, "mapped": third}, files)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found["cells"][0].__setitem__(0, 99),
        lambda found: found["counts"].__setitem__(0, -1),
        lambda found: found["counts"].__setitem__(0, 0.5),
        lambda found: found["counts"].pop(),
        lambda found: found["flips"]["changed"].pop("sex"),
        lambda found: found["sums"].__setitem__("sex", [[[1]]]),
        lambda found: found.pop("pairs"),
    ],
)
def test_counts_that_cannot_be_are_an_error(spoil: Any) -> None:
    frame = people()
    question, files = asked(binary(frame), row_groups(frame, 200))
    layout = mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 600}}, files)
    survey, results = layout["survey"], []
    for share in layout["shares"]:
        told = {**question, "mapped": {"survey": survey, "share": share}}
        results.append(through_json(mapped.compute(told, files))["counted"])
    spoil(results[1])
    told = {**question, "mapped": {"survey": survey, "results": results}}
    result = mapped.conclude(told, files)
    assert (result["outcome"], result["error"]["code"]) == ("errored", "check_crashed")


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3], [0.1, 1e300], [True, False], ["f", "m"], [None, "é"],
        [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02T03:04:05.000006")],
    ],
)  # fmt: skip
def test_values_to_try_come_back_in_their_type(values: list[Any]) -> None:
    column = pd.Series(values)
    again = _unpacked(_packed(column))
    assert again.dtype == column.dtype
    assert list(again) == list(column)


def test_a_file_that_a_folder_stores_as_it_is_is_read_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = people()

    def unpack(*given: Any) -> bytes:
        raise AssertionError("unpacked into memory")

    monkeypatch.setattr(parts, "member", unpack)
    content = io.BytesIO(b"in front of the archive" + folder(frame, [100, 650]))
    found = parts.ParquetParts.of(content, "parquet-folder", "evaluation")
    assert found is not None
    assert found.sizes == (100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 100, 100, 84)
    read = pd.concat(found.frames(["age", "bmi"]), ignore_index=True)
    pd.testing.assert_frame_equal(read, frame[["age", "bmi"]])
    monkeypatch.setattr(parts, "_stored_at", lambda *given: None)
    with pytest.raises(AssertionError, match="unpacked"):
        parts.ParquetParts.of(content, "parquet-folder", "evaluation")


def test_a_folder_that_says_it_is_longer_than_it_is_is_refused() -> None:
    content = bytearray(folder(people(), [100, 650]))
    shift = content.rindex(b"PK\x01\x02") + 42  # where the last member begins
    content[shift : shift + 4] = (int.from_bytes(content[shift : shift + 4], "little") + 7).to_bytes(
        4, "little"
    )
    with pytest.raises(CheckError) as caught:
        parts.ParquetParts.of(io.BytesIO(bytes(content)), "parquet-folder", "evaluation")
    assert caught.value.message.code in ("archive_unreadable", "parquet_unreadable")
