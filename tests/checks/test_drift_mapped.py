"""Drift divided among workers: the bytes of its one pass, whatever the cut and the order."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.canonical import digest_of
from audits.checks import drift_mapped, mapped, parts
from audits.checks.contract import CheckError, CheckInput, Material
from audits.checks.execute import execute
from audits.checks.sketch_form import from_json
from audits.checks.sketches import to_json
from tests.checks import cast
from tests.checks.test_mapped import folder, people, row_groups, through_json

CHECK = "drift.distribution"
DECLARED = cast.semantics(sensitive={"sex": {}, "age": {"bins": [40, 60]}})


@pytest.fixture(autouse=True)
def _short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 100)


def moved() -> pd.DataFrame:
    frame = people(seed=6)
    return frame.assign(bmi=frame.bmi + 2)


def asked(
    training: Any, evaluation: Any, formats: tuple[str, str] = ("parquet", "parquet")
) -> tuple[Any, Any]:
    inputs, files = cast.given(
        CHECK, training=training, evaluation=evaluation, declared=DECLARED, parameters={"replicates": 100}
    )
    materials = tuple(
        Material(each.role, each.digest, format_)
        for each, format_ in zip(inputs.materials, formats, strict=True)
    )
    return CheckInput(**{**vars(inputs), "materials": materials}).to_json(), files


def divided(
    question: dict[str, Any], files: Any, part_rows: int, seed: int = 0
) -> tuple[dict[str, Any], int]:
    def ask(entry: Any, **told: Any) -> dict[str, Any]:
        return through_json(entry(through_json({**question, "mapped": told}), files))

    layout = ask(mapped.lay_out, map_rows=150, part_rows=part_rows)
    survey, shares = layout["survey"], layout["shares"]
    random.Random(seed).shuffle(shares)
    results = [ask(mapped.compute, survey=survey, share=share)["counted"] for share in shares]
    return ask(mapped.conclude, survey=survey, results=results), len(results)


@pytest.mark.parametrize(("part_rows", "size"), [(100, 37), (250, 5000), (600, 100)])
def test_it_gives_the_digest_of_its_one_pass(
    part_rows: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, files = asked(row_groups(people(), 300), row_groups(moved(), size))
    result, count = divided(question, files, part_rows, seed=size)
    assert count == {100: 12, 250: 4, 600: 2}[part_rows]
    assert result["outcome"] == "completed", result["error"]
    assert cast.metric(result, "population_stability_index", "bmi")["value"] > 0.1
    assert digest_of(result) == digest_of(execute(question, files))
    monkeypatch.setattr(parts, "PART_ROWS", 10_000)  # read at once
    assert digest_of(result) == digest_of(execute(question, files))


def test_of_a_folder_and_against_a_stored_sketch() -> None:
    sketch = json.dumps(to_json(people(), sensitive={"sex": (), "age": (40.0, 60.0)})).encode()
    question, files = asked(sketch, folder(moved(), [130, 700]), ("sketch", "parquet-folder"))
    result, _ = divided(question, files, 250)
    assert "reference_is_sketch" in cast.codes(result)
    assert digest_of(result) == digest_of(execute(question, files))


def test_a_column_that_cannot_be_compared_has_the_words_of_the_one_pass() -> None:
    frame = moved()
    frame.loc[900, "bmi"] = np.inf
    question, files = asked(row_groups(people(), 300), row_groups(frame, 200))
    result, _ = divided(question, files, 250)
    assert result["error"] == {"code": "column_not_finite", "params": {"column": "bmi"}}
    assert result == execute(question, files)


@pytest.mark.parametrize("again", ["unreadable", "another"])
def test_a_reference_that_would_not_come_back_has_its_one_pass(
    again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(told: dict[str, Any]) -> Any:
        if again == "unreadable":
            raise CheckError("sketch_unreadable")
        return from_json({**told, "rows": told["rows"] + 1})

    monkeypatch.setattr(drift_mapped, "from_json", read)
    question, files = asked(row_groups(people(), 300), row_groups(moved(), 200))
    told = {"map_rows": 150, "part_rows": 250}
    assert mapped.lay_out({**question, "mapped": told}, files) == {"survey": None, "shares": []}
    assert execute(question, files)["outcome"] == "completed"


def test_counts_that_cannot_be_are_an_error() -> None:
    question, files = asked(row_groups(people(), 300), row_groups(moved(), 200))
    layout = mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 600}}, files)
    survey = layout["survey"]
    results = [
        mapped.compute({**question, "mapped": {"survey": survey, "share": share}}, files)["counted"]
        for share in layout["shares"]
    ]
    results[1]["columns"]["bmi"][0] = -1
    result = mapped.conclude({**question, "mapped": {"survey": survey, "results": results}}, files)
    assert (result["outcome"], result["error"]["code"]) == ("errored", "check_crashed")


def test_the_reference_is_told_only_in_cells() -> None:
    frame = people().assign(site=[f"person {n}" for n in range(1234)])
    question, files = asked(row_groups(frame, 300), row_groups(frame, 200))
    layout = mapped.lay_out({**question, "mapped": {"map_rows": 150, "part_rows": 600}}, files)
    assert layout["shares"]
    assert "person 7" not in json.dumps(layout)
