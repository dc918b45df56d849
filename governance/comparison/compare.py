from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from audits.checks.contract import CheckResult, Message, Metric
from audits.checks.results import MalformedResult, parse_result
from audits.models import CheckRun
from audits.states import CheckRunState
from governance import gate
from governance.comparison import statistics
from governance.comparison.statistics import Test
from governance.models import Environment, Placement
from governance.states import PlacementState
from registry.models import DatasetVersion, ModelVersion

PERFORMANCE, BIAS, SHAP = "evaluation.performance", "bias.group_disparity", "explainability.shap"
RUNS_LOOKED_AT = 20
LARGEST_SHIFTS = 10
# What says more about how the data were split than about the model.
NOT_COMPARED = frozenset({"row_overlap", "entity_overlap", "claimed_metric_gap"})


@dataclass(frozen=True)
class MetricPair:
    """One metric of both. `test` is None where nothing can be tested: a count of no sample, or no interval."""

    check: str
    metric: str
    attribute: str | None
    group: str | None
    mine: Metric
    live: Metric
    difference: float | None
    test: Test | None


@dataclass(frozen=True)
class CheckPair:
    """One check of both versions, or why the two cannot be compared."""

    check: str
    why_not: Message | None
    pairs: list[MetricPair] = field(default_factory=list)


@dataclass(frozen=True)
class Shift:
    feature: str
    mine: float
    live: float

    @property
    def change(self) -> float:
        return self.mine - self.live


@dataclass(frozen=True)
class ImportanceShift:
    """Share of total attribution by column. Columns only one of them has are listed, and not in the correlation."""

    why_not: Message | None
    rank_correlation: float | None = None
    shared: int = 0
    shifts: list[Shift] = field(default_factory=list)  # the largest first
    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DataDiff:
    """Training data by content. `columns_*` compare the columns of all training datasets taken together."""

    same_training: bool
    same_evaluation: bool
    training_added: list[tuple[str, str]]  # label, digest
    training_dropped: list[tuple[str, str]]
    columns_added: list[str]
    columns_dropped: list[str]
    columns_retyped: list[tuple[str, str, str]]  # column, type in the live one's data, type in this one's
    rows: int | None
    live_rows: int | None


@dataclass(frozen=True)
class Comparison:
    version: ModelVersion
    environment: Environment
    live: ModelVersion | None
    why_not: Message | None
    metrics: CheckPair | None = None
    bias: CheckPair | None = None
    importance: ImportanceShift | None = None
    data: DataDiff | None = None


def compare(version: ModelVersion, environment: Environment) -> Comparison:
    """`version` beside the version of its model that the gate lets run in `environment`; the newest of several."""
    live = _live(version, environment)
    if live is None:
        about = {"model": version.model.name, "environment": environment.name}
        return Comparison(version, environment, None, Message("nothing_live_to_compare", about))
    return Comparison(
        version,
        environment,
        live,
        None,
        _check_pair(version, live, PERFORMANCE),
        _check_pair(version, live, BIAS),
        _importance(version, live),
        _data(version, live),
    )


def _live(version: ModelVersion, environment: Environment) -> ModelVersion | None:
    rows = (
        Placement.objects.filter(
            model_id=version.model_id,
            environment=environment,
            state__in=[PlacementState.LIVE, PlacementState.SUPERSEDED],
        )
        .exclude(version=version)
        .select_related("version__model", "version__evaluation__dataset", "environment", "successor")
        .order_by("-id")
    )
    return next((row.version for row in rows if gate.of_placement(row).stands), None)


@dataclass(frozen=True)
class _Run:
    run: CheckRun
    result: CheckResult
    evaluation: str  # digest


def _runs(version: ModelVersion, check: str) -> list[_Run]:
    """Completed ones, the newest first. One that cannot be read counts as not there."""
    rows = CheckRun.objects.filter(
        workspace_id=version.workspace_id,
        subject_kind="model_version",
        subject_id=version.id,
        check_slug=check,
        state=CheckRunState.COMPLETED,
    ).order_by("-finished_at", "-id")
    found = []
    for run in rows[:RUNS_LOOKED_AT]:
        try:
            result = parse_result(run.result)
        except MalformedResult:
            continue
        if result.outcome == "completed":
            found.append(_Run(run, result, _evaluation_digest(run.input)))
    return found


def _evaluation_digest(given: dict[str, Any]) -> str:
    materials = given.get("materials") or []
    return next((str(row["digest"]) for row in materials if row.get("role") == "evaluation"), "")


def _matching(version: ModelVersion, live: ModelVersion, check: str) -> tuple[_Run, _Run] | Message:
    """The newest pair measured on the same evaluation data by the same version of the check, or why there is none."""
    mine, theirs = _runs(version, check), _runs(live, check)
    for missing, runs in ((version, mine), (live, theirs)):
        if not runs:
            return Message("check_not_run", {"check": check, "version": missing.label})
    on_same = [(a, b) for a in mine for b in theirs if a.evaluation == b.evaluation != ""]
    if not on_same:
        return Message("different_evaluation_data", {"check": check})
    for a, b in on_same:
        if a.run.check_version == b.run.check_version:
            return a, b
    return Message("different_check_version", {"check": check})


Key = tuple[str, str | None, str | None]


def _keyed(metrics: Iterable[Metric]) -> dict[Key, Metric]:
    return {(row.metric, row.attribute, row.group): row for row in metrics}


def _check_pair(version: ModelVersion, live: ModelVersion, check: str) -> CheckPair:
    found = _matching(version, live, check)
    if isinstance(found, Message):
        return CheckPair(check, found)
    mine, theirs = _keyed(found[0].result.metrics), _keyed(found[1].result.metrics)
    pairs = [
        _metric_pair(check, metric, theirs[key])
        for key, metric in mine.items()
        if key in theirs and key[0] not in NOT_COMPARED
    ]
    return CheckPair(check, None, _corrected(pairs))


def _metric_pair(check: str, mine: Metric, live: Metric) -> MetricPair:
    difference = None if mine.value is None or live.value is None else mine.value - live.value
    test = _test(mine, live)
    return MetricPair(check, mine.metric, mine.attribute, mine.group, mine, live, difference, test)


def _test(mine: Metric, live: Metric) -> Test | None:
    if mine.value is None or live.value is None:
        return None
    counts, others = _counts(mine), _counts(live)
    if counts is not None and others is not None:
        return statistics.proportions(*counts, *others)
    if mine.interval and live.interval and mine.level and live.level:
        return statistics.from_intervals(
            mine.value, mine.interval, mine.level, live.value, live.interval, live.level
        )
    return None


def _counts(metric: Metric) -> tuple[int, int] | None:
    """(successes, n) of a proportion whose value these counts are."""
    found, n = metric.denominators, metric.denominators.get("rows")
    successes = found.get("successes", found.get("correct"))
    if not n or successes is None or metric.value is None or successes > n:
        return None
    return (successes, n) if abs(successes / n - metric.value) < 1e-9 else None


def _corrected(pairs: list[MetricPair]) -> list[MetricPair]:
    """Holm over all tests of one check: among forty metrics two differ by chance at 5 %."""
    tested = [pair for pair in pairs if pair.test is not None]
    adjusted = statistics.holm([pair.test.p_value for pair in tested if pair.test is not None])
    by_pair = {id(pair): p for pair, p in zip(tested, adjusted, strict=True)}
    return [
        replace(pair, test=replace(pair.test, p_holm=by_pair[id(pair)])) if pair.test is not None else pair
        for pair in pairs
    ]


def _importance(version: ModelVersion, live: ModelVersion) -> ImportanceShift:
    found = _matching(version, live, SHAP)
    if isinstance(found, Message):
        return ImportanceShift(found)
    mine, theirs = _shares(found[0].result), _shares(found[1].result)
    if not mine or not theirs:
        return ImportanceShift(Message("no_importance", {"check": SHAP}))
    shared = [feature for feature in mine if feature in theirs]
    shifts = [Shift(feature, mine[feature], theirs[feature]) for feature in shared]
    shifts.sort(key=lambda shift: (-round(abs(shift.change), 12), shift.feature))
    return ImportanceShift(
        None,
        statistics.rank_correlation([mine[name] for name in shared], [theirs[name] for name in shared]),
        len(shared),
        shifts[:LARGEST_SHIFTS],
        sorted(set(mine) - set(theirs)),
        sorted(set(theirs) - set(mine)),
    )


def _shares(result: CheckResult) -> dict[str, float]:
    """Feature → share of total attribution. Shares, because two models need not speak in the same unit."""
    for table in result.tables:
        if table.id == "shap_importance" and {"feature", "share"} <= set(table.columns):
            feature, share = table.columns.index("feature"), table.columns.index("share")
            rows = [(row[feature], row[share]) for row in table.rows]
            return {
                name: float(value)
                for name, value in rows
                if isinstance(name, str) and isinstance(value, int | float) and not isinstance(value, bool)
            }
    return {}


def _data(version: ModelVersion, live: ModelVersion) -> DataDiff:
    mine = list(version.training.select_related("dataset"))
    theirs = list(live.training.select_related("dataset"))
    digests, others = {row.digest for row in mine}, {row.digest for row in theirs}
    columns, before = _columns(mine), _columns(theirs)
    return DataDiff(
        same_training=digests == others,
        same_evaluation=version.evaluation.digest == live.evaluation.digest,
        training_added=sorted((row.label, row.digest) for row in mine if row.digest not in others),
        training_dropped=sorted((row.label, row.digest) for row in theirs if row.digest not in digests),
        columns_added=sorted(set(columns) - set(before)),
        columns_dropped=sorted(set(before) - set(columns)),
        columns_retyped=sorted(
            (name, before[name], columns[name])
            for name in set(columns) & set(before)
            if columns[name] != before[name]
        ),
        rows=_rows(mine),
        live_rows=_rows(theirs),
    )


def _columns(rows: list[DatasetVersion]) -> dict[str, str]:
    return {str(column["name"]): str(column.get("type", "")) for row in rows for column in row.columns}


def _rows(rows: list[DatasetVersion]) -> int | None:
    counts = [row.rows for row in rows]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
