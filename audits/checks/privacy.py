"""Privacy: which columns hold personal data, and how far their combination singles people out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.groups import bin_labels
from audits.checks.intervals import generator
from audits.checks.labels import canonical_column, listed
from audits.checks.materials import Materials
from audits.checks.personal import SAMPLE, Found, classify
from audits.checks.semantics import Semantics

ROLES = ("training", "evaluation")
COLUMNS = ("dataset", "column", "category", "kind", "by", "match_ratio", "sampled")


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Both data sets, each metric with the data set's role as its `group`. No value of a cell leaves the check.

    direct_identifier_columns, quasi_identifier_columns and special_category_columns count what `personal` finds;
    undeclared_special_columns those of a special category that the version does not declare sensitive; k_anonymity is
    the smallest number of rows that share their quasi-identifiers (Sweeney 2002), unique_row_ratio the share of rows
    that share them with nobody. parameters: quasi_identifiers (default: the columns found to be quasi-identifiers and
    the declared sensitive ones; numbers with declared bins are compared by bin).
    """
    semantics = materials.semantics
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for role in ROLES:
        frame = materials.frame(role)
        found = {
            name: item
            for name in frame.columns
            if name != semantics.target
            and (item := classify(str(name), _sampled(frame[name], inputs.seed, role, str(name)))) is not None
        }
        metrics += _counted(frame, role, found, semantics)
        metrics += _anonymity(inputs, frame, role, found, semantics)
        notes += _notes(role, found, semantics)
        rows += [
            (role, name, item.category, item.kind, item.by, item.ratio, min(frame[name].nunique(), SAMPLE))
            for name, item in found.items()
        ]
    return CheckResult(
        "completed", tuple(metrics), (Table("privacy_columns", COLUMNS, tuple(rows)),), tuple(notes)
    )


def _sampled(column: pd.Series, seed: int, role: str, name: str) -> list[Any]:
    distinct = column.dropna().drop_duplicates()
    if len(distinct) > SAMPLE:
        chosen = generator(seed, "privacy", role, name).choice(len(distinct), SAMPLE, replace=False)
        distinct = distinct.iloc[np.sort(chosen)]
    return list(distinct)


def _counted(frame: pd.DataFrame, role: str, found: dict[str, Found], semantics: Semantics) -> list[Metric]:
    columns = {"columns": frame.shape[1]}

    def metric(name: str, value: int) -> Metric:
        return Metric(name, float(value), group=role, n=len(frame), denominators=columns)

    kinds = [item.kind for item in found.values()]
    undeclared = [
        name
        for name, item in found.items()
        if item.kind == "special" and name not in semantics.sensitive_columns
    ]
    return [
        metric("direct_identifier_columns", kinds.count("direct")),
        metric("quasi_identifier_columns", kinds.count("quasi")),
        metric("special_category_columns", kinds.count("special")),
        metric("undeclared_special_columns", len(undeclared)),
    ]


def _anonymity(
    inputs: CheckInput, frame: pd.DataFrame, role: str, found: dict[str, Found], semantics: Semantics
) -> list[Metric]:
    asked = inputs.parameters.get("quasi_identifiers")
    if asked:
        for name in asked:
            if name not in frame.columns:
                raise CheckError("column_missing", columns=name, reader="privacy")
        names = tuple(dict.fromkeys(asked))
    else:
        declared = [name for name in semantics.sensitive_columns if name in frame.columns]
        names = tuple(dict.fromkeys([*(n for n, item in found.items() if item.kind == "quasi"), *declared]))
    metrics = ("k_anonymity", "unique_row_ratio")
    if not names:
        nothing = Message("no_quasi_identifiers", {"role": role})
        return [Metric(name, None, group=role, n=len(frame), undefined=nothing) for name in metrics]
    sizes = class_sizes(frame, names, semantics)
    n, unique = len(frame), int((sizes == 1).sum())
    counts = {"rows": n, "columns": len(names), "classes": len(sizes)}
    return [
        Metric(metrics[0], float(sizes.min()), group=role, n=n, denominators=counts),
        Metric(metrics[1], unique / n, group=role, n=n, denominators={**counts, "unique": unique}),
    ]


def class_sizes(frame: pd.DataFrame, names: tuple[str, ...], semantics: Semantics) -> np.ndarray[Any, Any]:
    """Rows of each combination of the columns that occurs; an empty cell is a value of its own."""
    key = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        bins = semantics.bins_of(name)
        if bins and pd.api.types.is_numeric_dtype(frame[name].dtype):
            values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            codes = np.searchsorted(np.array(bins), values, side="right").astype(np.int64)
            codes[np.isnan(values)] = len(bin_labels(bins))
        else:
            codes = canonical_column(frame[name])[0] + 1
        _, codes = np.unique(codes, return_inverse=True)
        key = key * (int(codes.max()) + 1) + codes
        _, key = np.unique(key, return_inverse=True)  # renumbered, so that it cannot overflow
    return np.bincount(key)


def _notes(role: str, found: dict[str, Found], semantics: Semantics) -> list[Message]:
    notes = []
    direct = [name for name, item in found.items() if item.kind == "direct"]
    if direct:
        notes.append(Message("direct_identifiers", {"role": role, "columns": listed(direct)}))
    special = [
        name
        for name, item in found.items()
        if item.kind == "special" and name not in semantics.sensitive_columns
    ]
    if special:
        notes.append(Message("special_undeclared", {"role": role, "columns": listed(special)}))
    return notes
