"""Data quality of the training and evaluation data: what is missing, repeated, constant or out of step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audits.checks.associations import Association, strongest_first
from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.expectations import COLUMNS as RULE_COLUMNS
from audits.checks.expectations import age_in_days, day_of, expected_of, violations
from audits.checks.intervals import wilson
from audits.checks.labels import listed
from audits.checks.mapped import spans
from audits.checks.materials import MAX_LABELS, Materials
from audits.checks.quality_counts import ROLES, Json, add, counted, new_tally, shares_of, surveyed
from audits.checks.semantics import Semantics

LEVEL = 0.95
NAMED = 20
NEAR = 0.95  # association with the target from which a column is named


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Both data sets, each metric with the data set's role as its `group`; `schema_mismatches` compares the two.

    missing_ratio is over all cells; missing_ratio_worst_column over the rows of the worst column. Exact figures of
    the files as they are, hence no intervals, except for the share of the rarest class.
    parameters: schema {column: rules} and pandera (a serialised schema), as `expectations` has them; as_of, the day
    that data_age_days counts to.
    """
    survey = surveyed(inputs, materials)
    todo = shares(inputs, materials, survey, 0)
    return conclude(inputs, materials, survey, [counted(inputs, materials, survey, share) for share in todo])


# The functions of audits.checks.mapped

survey, compute = surveyed, counted


def shares(inputs: CheckInput, materials: Materials, survey: Json, part_rows: int) -> list[Json]:
    return [
        share
        for role in ROLES
        for share in shares_of(survey, role, spans(materials, role, part_rows or survey[role]["rows"]))
    ]


def conclude(inputs: CheckInput, materials: Materials, survey: Json, results: list[Json]) -> CheckResult:
    metrics: list[Metric] = []
    notes: list[Message] = []
    rows: list[tuple[Any, ...]] = []
    expected: list[tuple[Any, ...]] = []
    as_of, semantics = inputs.parameters.get("as_of"), materials.semantics
    data = {
        role: _together(role, survey[role], [one for one in results if one["role"] == role]) for role in ROLES
    }
    for role, found in data.items():
        metrics += _measures(found)
        metrics.append(_minority(found, semantics))
        metrics.append(_strongest(found, semantics.target))
        notes += [
            Message("column_near_target", {"role": role, "column": name, "value": round(value, 4)})
            for value, name, _ in found.close[:NAMED]
            if value >= NEAR
        ]
        notes += _findings(found)
        if expected_of(inputs.parameters):
            broken, lines, more = violations(role, found.tally["broken"], found.rows, found.repeated)
            metrics.append(broken)
            expected += lines
            notes += more[:NAMED]
        if as_of is not None and semantics.time_column is not None:
            metrics.append(_age(found, semantics.time_column, as_of))
        rows += _columns(found, semantics.sensitive_columns)
    mismatches = _mismatches(data["training"].kinds, data["evaluation"].kinds)
    counts = {"columns": len({*data["training"].kinds, *data["evaluation"].kinds})}
    metrics.append(Metric("schema_mismatches", float(len(mismatches)), denominators=counts))
    notes += mismatches
    header = ("dataset", "column", "type", "missing", "distinct", "minimum", "maximum")
    tables = [Table("columns", header, tuple(rows))]
    if expected_of(inputs.parameters):
        tables.append(Table("schema", RULE_COLUMNS, tuple(expected)))
    return CheckResult("completed", tuple(metrics), tuple(tables), tuple(notes))


@dataclass(frozen=True)
class _Found:
    """All that was counted of one data set; columns in their order."""

    role: str
    rows: int
    kinds: dict[str, str]
    labels: Json | None
    tally: Json
    distinct: dict[str, int]
    close: list[Association]
    different_rows: int

    @property
    def constant(self) -> list[str]:
        """Columns with at most one distinct value; a column with nothing in it is one of them."""
        return [name for name, n in self.distinct.items() if n <= 1]

    @property
    def repeated(self) -> dict[str, int]:
        """Cells that repeat an earlier one, by column."""
        missing = self.tally["missing"]
        return {name: self.rows - missing[name] - n for name, n in self.distinct.items()}


def _together(role: str, about: Json, results: list[Json]) -> _Found:
    """ValueError where a share is missing, or was counted twice."""
    names: list[str] = about["columns"]
    tally = new_tally(names)
    columns: dict[str, Json] = {}
    buckets: dict[int, int] = {}
    for one in results:
        if one["tally"] is not None:
            add(tally, one["tally"])
        if columns.keys() & one["columns"].keys():
            raise ValueError("columns")
        columns |= one["columns"]
        if one["bucket"] is not None:
            place, wanted = one["bucket"]
            if place in buckets:
                raise ValueError("bucket")
            buckets[place] = one["different"]
    if tally["rows"] != about["rows"] or set(columns) != set(names) or set(buckets) != set(range(wanted)):
        raise ValueError("shares")
    compared = {
        name: columns[name]["association"] for name in names if columns[name]["association"] is not None
    }
    return _Found(
        role=role,
        rows=about["rows"],
        kinds={name: about["kinds"][name] for name in names},
        labels=about["labels"],
        tally=tally,
        distinct={name: columns[name]["distinct"] for name in names},
        close=strongest_first({name: (value, n) for name, (value, n) in compared.items()}),
        different_rows=sum(buckets.values()),
    )


def _strongest(found: _Found, target: str) -> Metric:
    """strongest_target_association: Cramér's V (rank correlation for a regression) of the column closest to the target.

    Near 1, a column may hold the answer.
    """
    name, role = "strongest_target_association", found.role
    if not found.close:
        why = Message("nothing_to_associate", {"column": target, "role": role})
        return Metric(name, None, group=role, undefined=why)
    value, _, n = found.close[0]
    return Metric(name, value, group=role, n=n, denominators={"rows": n, "columns": len(found.close)})


def _measures(found: _Found) -> list[Metric]:
    rows, columns = found.rows, len(found.kinds)
    cells = rows * columns
    missing, worst = (of(found.tally["missing"].values()) for of in (sum, max))
    duplicates = rows - found.different_rows
    infinite = sum(found.tally["infinite"].values())

    def metric(name: str, value: float, **counts: int) -> Metric:
        return Metric(name, value, group=found.role, n=rows, denominators=counts)

    return [
        metric("rows", float(rows)),
        metric("missing_ratio", missing / cells, missing=missing, cells=cells),
        metric("missing_ratio_worst_column", worst / rows, missing=worst, rows=rows),
        metric("duplicate_ratio", duplicates / rows, duplicates=duplicates, rows=rows),
        metric("constant_columns", float(len(found.constant)), columns=columns),
        metric("infinite_cells", float(infinite), cells=cells),
    ]


def _minority(found: _Found, semantics: Semantics) -> Metric:
    """Share of the rarest class among rows with a known target; undefined where that means nothing."""
    name, labels = "minority_class_ratio", found.labels

    def undefined(code: str, **params: Any) -> Metric:
        about = {"role": found.role, "column": semantics.target, **params}
        return Metric(name, None, group=found.role, undefined=Message(code, about))

    if labels is None:
        return undefined("target_is_a_number")
    number = labels["number"] if "number" in labels else len(labels["names"])
    if number < 2:
        return undefined("target_single_class", count=number)
    if number > MAX_LABELS:
        return undefined("target_not_categorical", count=number)
    smallest, known = min(labels["counts"]), sum(labels["counts"])
    return Metric(
        name,
        smallest / known,
        group=found.role,
        interval=wilson(smallest, known, LEVEL),
        level=LEVEL,
        n=known,
        denominators={"smallest_class": smallest, "rows": known, "classes": number},
    )


def _age(found: _Found, column: str, as_of: str) -> Metric:
    """Raises CheckError `parameters_invalid`, or `time_unreadable` naming the time column."""
    day_of(as_of)
    if found.tally["unreadable"]:
        rows = found.tally["unreadable"]
        raise CheckError("time_unreadable", role=found.role, column=column, rows=rows)
    return age_in_days(column, found.role, found.tally["newest"], found.rows, as_of)


def _findings(found: _Found) -> list[Message]:
    empty = [name for name, kind in found.kinds.items() if kind == "empty"]
    constant = [name for name in found.constant if name not in empty]
    infinite = [name for name in found.kinds if found.tally["infinite"][name]]
    return [
        Message(code, {"role": found.role, "columns": listed(names)})
        for code, names in (
            ("columns_all_missing", empty),
            ("columns_constant", constant),
            ("columns_infinite", infinite),
        )
        if names
    ]


def _mismatches(training: dict[str, str], evaluation: dict[str, str]) -> list[Message]:
    """One message per column that is in only one of the two, or of another kind there."""
    found = []
    for name in sorted({*training, *evaluation}):
        if name not in evaluation:
            found.append(Message("column_only_in", {"column": name, "role": "training"}))
        elif name not in training:
            found.append(Message("column_only_in", {"column": name, "role": "evaluation"}))
        elif training[name] != evaluation[name]:
            params = {"column": name, "training": training[name], "evaluation": evaluation[name]}
            found.append(Message("column_kind_differs", params))
    return found


def _columns(found: _Found, sensitive: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Per column; the range only of plain numbers: an extreme of a sensitive column may be one person."""
    rows: list[tuple[Any, ...]] = []
    for name, kind in found.kinds.items():
        low, high = found.tally["range"].get(name) or (None, None)
        if name in sensitive:
            low = high = None
        rows.append((found.role, name, kind, found.tally["missing"][name], found.distinct[name], low, high))
    return rows
