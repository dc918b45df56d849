from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

from audits.checks.contract import Table
from audits.plots import plots_for
from audits.plots import rates as rates_module
from tests.plots.reading import brazilian, described, texts, tree

GROUPS = {
    "id": "groups",
    "columns": rates_module.COLUMNS,
    "rows": [
        ("sex", "f", 50, 1, 2, 0.3, 0.2, 0.4, *([None] * 6)),
        ("sex", "m", 50, 1, 2, 0.5, 0.4, 0.6, *([None] * 6)),
    ],
    "params": {"ratio_limit": 0.8},
}
IMPORTANCE = {
    "id": "shap_importance",
    "columns": ["feature", "mean_abs", "mean_signed", "share"],
    "rows": [["sex", 0.2, 0.1, 0.4], ["bmi", 0.3, -0.1, 0.6]],
    "params": {"sensitive": ["sex"], "output_space": "margin"},
}
ALL = [
    GROUPS,
    IMPORTANCE,
    {"id": "shap_points", "columns": ["feature", "value_rank", "phi"], "rows": [["bmi", 0.4, 0.1]]},
    {
        "id": "shap_by_group",
        "columns": ["attribute", "group", "feature", "mean_abs"],
        "rows": [["sex", "f", "bmi", 0.1]],
    },
    {
        "id": "calibration",
        "columns": ["bin_low", "bin_high", "n", "mean_score", "observed_rate"],
        "rows": [[0, 1, 9, 0.5, 0.4]],
    },
    {"id": "confusion", "columns": ["truth", "prediction", "n"], "rows": [["a", "a", 3]]},
]


def test_every_known_table_becomes_a_figure_in_order() -> None:
    plots = plots_for(ALL)
    assert [plot.id for plot in plots] == [table["id"] for table in ALL]
    for plot in plots:
        assert tree(plot.svg)[0].text == plot.title_msgid
        assert plot.caption


def test_unknown_empty_and_broken_tables_give_none() -> None:
    broken: list[dict[str, object]] = [
        {},
        {"id": "columns", "columns": ["a"], "rows": [[1]]},
        {"id": ["groups"], "rows": [[1]]},
        {"id": "groups", "columns": ["attribute"], "rows": []},
        {"id": "groups", "columns": ["attribute"], "rows": None},
        {"id": "shap_points", "columns": ["something", "else"], "rows": [[1, 2]], "params": None},
        {"id": "confusion", "columns": None, "rows": "text"},
    ]
    assert plots_for(broken) == []


def test_ids_are_unique_on_a_page() -> None:
    page = "".join(plot.svg for plot in plots_for([*ALL, *ALL], prefix="v1"))
    root = ET.fromstring(f"<html>{page}</html>")
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids)) > 24


def test_columns_are_found_by_name() -> None:
    other = {
        "id": "shap_importance",
        "columns": ["rank", "share", "mean_signed", "mean_abs", "feature"],
        "rows": [[1, 0.6, -0.1, 0.3, "bmi"], [2, 0.4, 0.1, 0.2, "sex"]],
        "params": IMPORTANCE["params"],
    }
    assert plots_for([other]) == plots_for([IMPORTANCE])


def test_limit_and_sensitive_come_from_the_table_and_arguments_win() -> None:
    assert "sex: limit 0.80 × 0.50 = 0.40; below it: f." in described(plots_for([GROUPS])[0].svg)
    assert "sex: limit 0.50 × 0.50 = 0.25; below it: none." in described(
        plots_for([GROUPS], limit=0.5)[0].svg
    )
    assert "share 0.400, sensitive column." in described(plots_for([IMPORTANCE])[0].svg)
    assert "share 0.600, sensitive column." in described(plots_for([IMPORTANCE], sensitive={"bmi"})[0].svg)


def test_captions_name_limit_and_space() -> None:
    groups, importance = plots_for([GROUPS, IMPORTANCE], number=brazilian)
    assert groups.caption == (
        "Share of each group that gets the favourable decision, with its interval. "
        "Shaded: from 0,80 × the highest rate of the attribute up to that rate."
    )
    assert importance.caption.endswith("φ is in log-odds (margin).")


def test_every_sentence_goes_through_the_translator() -> None:
    for plot in plots_for(ALL, labels=lambda message: f"«{message}»"):
        data = {"sex", "bmi", "a", "f", "m", ""}
        free = [name for name in texts(plot.svg) if not name.startswith("«") and name not in data]
        assert all(not any(letter.isalpha() for letter in name) for name in free), (plot.id, free)
        assert plot.caption.startswith("«")


def test_stored_tables_of_the_contract_are_understood() -> None:
    stored = asdict(Table("confusion", ("truth", "prediction", "n"), (("a", "a", 3),)))
    assert [plot.id for plot in plots_for([stored])] == ["confusion"]


def test_the_same_tables_give_the_same_bytes_in_another_process_without_numpy_or_django() -> None:
    program = (
        "import sys, hashlib; from tests.plots.test_dispatch import ALL; from audits.plots import plots_for;"
        "print(hashlib.sha256(''.join(p.svg + p.caption for p in plots_for(ALL)).encode()).hexdigest());"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'matplotlib', 'django', 'pandas'}))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    (only,) = runs
    assert only.splitlines()[1] == "[]"
