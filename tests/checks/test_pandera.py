"""A pandera schema in a policy: as pandera writes it, counted by column and rule, never a value; nothing hostile."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pytest
import yaml
from jsonschema import Draft202012Validator

from audits.checks.catalogue import CATALOGUE
from audits.checks.expectations import broken_in
from audits.checks.quality_counts import kind
from tests.checks import cast

CANARY = "quokka-7731"
ROWS = 300
FORM = Draft202012Validator(CATALOGUE["data.quality"].parameters)


def frame() -> pd.DataFrame:
    stream = np.random.default_rng(3)
    made = pd.DataFrame(
        {
            "age": stream.integers(18, 90, ROWS),
            "bmi": stream.normal(27, 4, ROWS).round(2),
            "code": [f"A{n:04}" for n in range(ROWS)],
            "sex": stream.choice(["f", "m"], ROWS),
            "progression": stream.integers(0, 2, ROWS),
        }
    )
    made.loc[:6, "bmi"] = np.nan
    made.loc[7:9, "code"] = CANARY
    made.loc[10:14, "age"] = 7731
    return made


def checked(declared_schema: dict[str, Any], data: pd.DataFrame | None = None, **more: Any) -> dict[str, Any]:
    data = frame() if data is None else data
    declared = cast.semantics(sensitive={"sex": {"use": "monitored", "bins": None}})
    return cast.run(
        "data.quality", training=data, evaluation=frame(), declared=declared,
        parameters={"pandera": declared_schema, **more},
    )  # fmt: skip


def counts(result: dict[str, Any]) -> dict[tuple[str, str], int]:
    table = cast.table(result, "schema").query("dataset == 'training'")
    return {(row.column, row.rule): row.violations for row in table.itertuples()}


SCHEMA = pandera.DataFrameSchema(
    {
        "age": pandera.Column("int64", [pandera.Check.ge(18), pandera.Check.in_range(0, 120)]),
        "bmi": pandera.Column("float64", pandera.Check.lt(30), nullable=False),
        "code": pandera.Column(str, pandera.Check.str_matches(r"A\d{4}$"), unique=True),
        "sex": pandera.Column(str, pandera.Check.isin(["f", "m"])),
        "income": pandera.Column("float64"),
        "note": pandera.Column(str, required=False),
    },
    strict=True,
)


@pytest.mark.parametrize("minimal", [True, False])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_pandera_writes_is_read_and_counted(form: str, minimal: bool) -> None:
    written = (
        json.loads(SCHEMA.to_json(minimal=minimal))
        if form == "json"
        else yaml.safe_load(SCHEMA.to_yaml(minimal=minimal))
    )
    FORM.validate({"pandera": written})
    result = checked(written)
    data = frame()
    expected = {
        ("age", "type"): 0,
        ("age", "missing"): 0,
        ("age", "greater_than_or_equal_to"): 0,
        ("age", "in_range"): 5,
        ("bmi", "type"): 0,
        ("bmi", "missing"): 7,
        ("bmi", "less_than"): int((data["bmi"] >= 30).sum()),
        ("code", "type"): 0,
        ("code", "missing"): 0,
        ("code", "unique"): 2,
        ("code", "str_matches"): 3,
        ("sex", "type"): 0,
        ("sex", "missing"): 0,
        ("sex", "isin"): 0,
        ("income", "present"): ROWS,
        ("progression", "unexpected"): ROWS,
    }
    assert counts(result) == expected
    found = cast.metric(result, "schema_violations", group="training")
    assert (found["value"], found["denominators"]["rows"]) == (sum(expected.values()), ROWS)
    told = json.dumps(result["notes"]) + json.dumps([t for t in result["tables"] if t["id"] == "schema"])
    assert (CANARY in told, "7731" in told) == (False, False)


def test_it_says_what_pandera_says_itself() -> None:
    """Its own lazy validation, of the same data read from the same file."""
    data = cast.materials(training=frame(), evaluation=frame()).frame("training")
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        SCHEMA.validate(data, lazy=True)
    theirs = caught.value.failure_cases.groupby("check").size().to_dict()
    mine = counts(checked(json.loads(SCHEMA.to_json())))
    assert mine["code", "str_matches"] == theirs[r"str_matches('A\d{4}$')"]
    assert mine["bmi", "less_than"] == theirs["less_than(30)"]
    assert mine["bmi", "missing"] == theirs["not_nullable"]
    assert mine["code", "unique"] == theirs["field_uniqueness"] - 1, "those that repeat an earlier one"
    assert mine["age", "in_range"] == theirs["in_range(0, 120)"]


def test_a_column_of_another_type_counts_every_row() -> None:
    found = counts(checked({"columns": {"bmi": {"dtype": "int64", "nullable": True, "less_than": 30}}}))
    assert found["bmi", "type"] == ROWS


def test_it_adds_up_however_the_file_is_cut() -> None:
    """By stretches of 70 rows, as workers count them, the same as at once."""
    written = json.loads(SCHEMA.to_json())
    data = cast.materials(training=frame(), evaluation=frame()).frame("training")
    kinds = {name: kind(data[name]) for name in data.columns}
    parameters = {"pandera": written, "schema": {"age": {"type": "text", "max": 60, "missing": False}}}
    whole = broken_in(data, parameters, kinds)
    parts = [broken_in(data.iloc[at : at + 70], parameters, kinds) for at in range(0, ROWS, 70)]
    added = {
        name: {rule: sum(part[name][rule] for part in parts) for rule in rules}
        for name, rules in whole.items()
    }
    assert added == whole
    assert whole["age"]["type"] == whole["progression"]["unexpected"] == ROWS
    assert parameters["pandera"] == json.loads(SCHEMA.to_json()), "the policy's own is left as it is"


def test_beside_the_short_spelling() -> None:
    result = checked({"columns": {"sex": {"isin": ["f"]}}}, schema={"age": {"max": 100}})
    found = counts(result)
    assert found["age", "max"] == 5
    assert found["sex", "isin"] == int((frame()["sex"] == "m").sum())
    assert cast.metric(result, "schema_violations", group="training")["value"] == sum(found.values())


HOSTILE: dict[str, dict[str, Any]] = {
    "an attribute for a check": {"columns": {"a": {"checks": [{"value": 1, "options": {"check_name": "__class__"}}]}}},
    "an option by name": {"columns": {"a": {"isin": {"allowed_values": [1], "_check_fn": "x"}}}},
    "another check's function": {"columns": {"a": {"from_builtin_check_name": "x"}}},
    "only a warning": {"columns": {"a": {"greater_than": {"min_value": 1, "raise_warning": True}}}},
    "cells changed": {"columns": {"a": {"dtype": "int64", "coerce": True}}},
    "columns changed": {"columns": {"a": {}}, "coerce": True},
    "unique together": {"columns": {"a": {}}, "unique": ["a", "b"]},
    "a set of values": {"columns": {"a": {"unique_values_eq": [1, 2]}}},
    "rows dropped": {"columns": {"a": {}}, "drop_invalid_rows": True},
    "columns added": {"columns": {"a": {}}, "add_missing_columns": True},
    "cells filled": {"columns": {"a": {"default": 1}}},
    "columns left out": {"columns": {"a": {}}, "strict": "filter"},
    "a pattern for names": {"columns": {"(a+)+$": {"regex": True}}},
    "an index": {"columns": {"a": {}}, "index": [{"dtype": "int64"}]},
    "checks of the table": {"columns": {"a": {}}, "checks": {"greater_than": 1}},
    "another library": {"columns": {"a": {}}, "api": "pyspark.pandas"},
    "code as a type": {"columns": {"a": {"dtype": "__import__('os').system('id')"}}},
    "something new": {"columns": {"a": {}}, "parsers": ["x"]},
    "nothing": {},
}  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=list(HOSTILE))
def test_what_no_policy_may_hold(schema: dict[str, Any]) -> None:
    """Refused with the policy, and again by the check itself: nothing of it reaches pandera."""
    assert list(FORM.iter_errors({"pandera": schema}))
    assert checked(schema)["error"]["code"] == "parameters_invalid"


@pytest.mark.parametrize(
    "schema",
    [
        {"columns": {"age": {"in_range": {"min_value": 5}}}},
        {"columns": {"age": {"in_range": {"min_value": 5, "max_value": 1}}}},
        {"columns": {"age": {"dtype": "integerish"}}},
        {"columns": {"code": {"str_matches": "(unclosed"}}},
        {"columns": {"age": {"greater_than": {"values": [1]}}}},
    ],
)
def test_what_pandera_does_not_understand_is_no_number(schema: dict[str, Any]) -> None:
    """Well formed, and none: an error or rows that break the rule, never a pass."""
    FORM.validate({"pandera": schema})
    result = checked(schema)
    if result["outcome"] == "completed":
        assert cast.metric(result, "schema_violations", group="training")["value"] >= ROWS - 3
    else:
        assert result["error"]["code"] == "parameters_invalid"
