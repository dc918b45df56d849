"""What running the model costs, measured in the confined child: time per row, rows per second, memory, size of file.

The one check whose figures are of this machine and this moment: running it again gives other numbers.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from audits.checks.contract import CheckInput, CheckResult, Metric, Table
from audits.checks.intervals import Interval
from audits.checks.materials import Materials

ROWS, BATCH, REPEATS, LEVEL = 200, 10_000, 5, 0.95
COLUMNS = ("measure", "value", "low", "high", "n")


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """latency_ms: median milliseconds to answer one row alone; latency_ms_p95: its 95th percentile;
    throughput_rows_per_second: median over batches; peak_memory_bytes: of the process after predicting, libraries
    included; artifact_bytes: the model file.

    parameters: rows (asked one by one, 200), batch (rows of a batch, 10,000), repeats (5). Intervals are distribution-
    free, from order statistics; none where there are too few measurements for one.
    """
    frame, predictor = materials.frame("evaluation"), materials.model()
    ask = predictor.values if materials.semantics.task == "regression" else predictor.label_codes
    rows = int(inputs.parameters.get("rows", ROWS))
    batch = int(inputs.parameters.get("batch", BATCH))
    repeats = int(inputs.parameters.get("repeats", REPEATS))
    one = frame.iloc[:1]
    ask(one)  # what a first call loads is not the model's cost
    single = []
    for place in range(rows):
        row = frame.iloc[[place % len(frame)]]
        started = time.perf_counter()
        ask(row)
        single.append((time.perf_counter() - started) * 1000)
    many = frame.iloc[np.arange(batch) % len(frame)]  # short data is asked over and over
    speeds = []
    for _ in range(repeats):
        started = time.perf_counter()
        ask(many)
        speeds.append(len(many) / max(time.perf_counter() - started, 1e-9))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = len(materials.bytes_of("artifact"))
    asked = {"rows": rows}
    metrics = (
        _quantile("latency_ms", single, 0.5, asked),
        _quantile("latency_ms_p95", single, 0.95, asked),
        _quantile("throughput_rows_per_second", speeds, 0.5, {"batches": repeats, "rows": len(many)}),
        Metric("peak_memory_bytes", float(memory), n=len(many), denominators={"rows": len(many)}),
        Metric("artifact_bytes", float(size)),
    )
    lines = tuple((item.metric, item.value, *(item.interval or (None, None)), item.n) for item in metrics)
    return CheckResult("completed", metrics, (Table("resources", COLUMNS, lines),))


def _quantile(name: str, values: list[float], share: float, counts: dict[str, int]) -> Metric:
    interval = quantile_interval(values, share, LEVEL)
    return Metric(
        name,
        float(np.quantile(values, share)),
        interval=interval,
        level=None if interval is None else LEVEL,
        n=len(values),
        denominators=counts,
    )


def quantile_interval(values: list[float], share: float, level: float) -> Interval | None:
    """Between two order statistics, by the binomial distribution (David and Nagaraja 2003, 7.1); None with too few."""
    from scipy.special import bdtr

    n, ordered = len(values), sorted(values)
    tail = (1 - level) / 2
    below = [place for place in range(n) if float(bdtr(place, n, share)) <= tail]
    above = [place for place in range(n) if 1 - float(bdtr(place, n, share)) <= tail]
    if not below or not above:
        return None
    return ordered[below[-1]], ordered[above[0]]
