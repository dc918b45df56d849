"""A pandera schema in the confined child: it needs nothing that was not loaded before the lock, nor outlasts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pytest

from audits.confine import ConfinedOutcome, Limits, Zygote
from tests.checks import cast

SMALL = Limits(wall_seconds=30, cpu_seconds=4, memory_bytes=768 << 20, output_bytes=1 << 20)
CANARY = "quokka-7731"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as started:
        if started.run({}, {}, entry="tests.confine.probes:echo").error is not None:
            pytest.skip("this machine cannot confine at level 1 (Landlock and seccomp)")
        yield started


def judged(zygote: Zygote, folder: Path, schema: dict[str, Any], frame: pd.DataFrame) -> ConfinedOutcome:
    paths = {}
    for name in ("training", "evaluation"):
        paths[name] = folder / name
        frame.to_csv(paths[name], index=False)
    inputs, _ = cast.given(
        "data.quality", training=frame, evaluation=frame, declared=cast.semantics(sensitive={}),
        parameters={"pandera": schema},
    )  # fmt: skip
    outcome = zygote.run(inputs.to_json(), paths, limits=SMALL)
    assert outcome.confinement is not None
    assert outcome.confinement.level >= 1
    return outcome


def test_every_kind_of_rule_works_behind_the_lock(zygote: Zygote, tmp_path: Path) -> None:
    frame, _ = cast.diabetes()
    frame["name"] = ["x", CANARY, *[f"n{n}" for n in range(len(frame) - 2)]]
    check = pandera.Check
    schema = pandera.DataFrameSchema(
        {
            "age": pandera.Column(
                "float64", [check.ge(0), check.le(40), check.in_range(0, 50), check.ne(3, name="not 3")]
            ),
            "sex": pandera.Column(None, [check.isin([1]), check.notin([2])], unique=True),
            "bmi": pandera.Column("Int64", nullable=True),
            "name": pandera.Column(
                str,
                [check.str_matches("n"), check.str_contains("q"), check.str_startswith("n"), check.str_endswith("1"),
                 check.str_length(1, 3), check.gt(3)],
                unique=True,
            ),
            "when": pandera.Column("datetime64[ns]"),
        },
        strict=True, ordered=True,
    )  # fmt: skip
    outcome = judged(zygote, tmp_path, json.loads(schema.to_json()), frame)
    assert outcome.error is None, outcome.error
    result = outcome.result
    assert result is not None
    table = (
        cast.table(result, "schema")
        .query("dataset == 'training'")
        .set_index(["column", "rule"])["violations"]
    )
    assert table["name", "str_matches"] == 2
    assert table["name", "str_contains"] == len(frame) - 1
    assert table["name", "greater_than"] == len(frame)
    assert table["age", "less_than_or_equal_to"] == int((frame["age"] > 40).sum())
    assert table["age", "not 3"] == 0
    assert table["bmi", "type"] == len(frame)
    assert table["when", "present"] == len(frame)
    assert table["bp", "unexpected"] == len(frame)
    assert CANARY not in json.dumps(result)
    assert outcome.libraries["pandera"] == version("pandera")


def test_a_pattern_that_never_ends_is_ended(zygote: Zygote, tmp_path: Path) -> None:
    """One that the linear engine does not know, on text made for it: time is up, and the next job is served."""
    frame, _ = cast.diabetes()
    frame["name"] = "a" * 60
    slow = {"columns": {"name": {"str_matches": r"(a|aa)+(?!x)b"}}}
    outcome = judged(zygote, tmp_path, slow, frame)
    assert outcome.result is None
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.params) == ("timeout", {"kind": "cpu", "seconds": 4})
    quick = judged(zygote, tmp_path, {"columns": {"name": {"str_matches": "(a+)+$"}}}, frame)
    assert quick.result is not None
    assert cast.metric(quick.result, "schema_violations", group="training")["value"] == 0
