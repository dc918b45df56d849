"""Bias over a million rows and three attributes with all intersections, from Parquet, against others; and memory.

Everybody gets the same Parquet file with the decisions in it, and answers the same question: selection rate, TPR, FPR
and accuracy of every group of the three attributes, of their pairs and of the triple. No model is asked, so that the
figures are of counting alone.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ground

ROWS, TIMES = 1_000_000, 3
ATTRIBUTES = {"sex": 2, "race": 5, "region": 9}
SUBSETS = [names for depth in (1, 2, 3) for names in combinations(ATTRIBUTES, depth)]
MEMORY = (1_000_000, 5_000_000, 20_000_000)


def write(path: Path, rows: int) -> None:
    """A file in row groups of 2**18 rows, made a group at a time: making it must not need the memory either."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    writer = None
    for start in range(0, rows, 1 << 18):
        n = min(1 << 18, rows - start)
        columns: dict[str, Any] = {
            name: pa.array([f"{name} {k}" for k in range(size)]).take(pa.array(random.integers(0, size, n)))
            for name, size in ATTRIBUTES.items()
        }
        truth = random.random(n) < 0.3
        columns["y_true"] = truth.astype(np.int8)
        columns["y_pred"] = (truth ^ (random.random(n) < 0.2)).astype(np.int8)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def crivo(path: Path) -> dict[tuple[str, ...], int]:
    """As the check does it: parts of the file, groups, one cube, every rate from the cube."""
    from audits.checks.bias import measure
    from audits.checks.cube import Cube, count
    from audits.checks.groups import grouping
    from audits.checks.parts import ParquetParts
    from audits.checks.reading import read_frame

    cube: Cube | None = None
    with path.open("rb") as file:
        parts = ParquetParts.of(file, "parquet", "evaluation")
        for frame in parts.frames() if parts else [read_frame(file, "parquet", "evaluation")]:
            groupings = {name: grouping(frame[name], name, ()) for name in ATTRIBUTES}
            truth, decided = (frame[name].to_numpy(np.int64) for name in ("y_true", "y_pred"))
            found = count(groupings, truth, decided, ("0", "1"))
            cube = found if cube is None else cube + found
    if cube is None:
        raise SystemExit("no rows")
    return {names: len(measure(cube, names, 1, 30).groups) for names in SUBSETS}


def duckdb(path: Path) -> dict[tuple[str, ...], int]:
    """One bare GROUP BY over the grouping sets, on one thread like the others."""
    import duckdb as library

    sets = ", ".join(f"({', '.join(names)})" for names in SUBSETS)
    connection = library.connect(config={"threads": 1})
    rows = connection.execute(
        f"""SELECT {", ".join(ATTRIBUTES)}, count(*), avg(y_pred),
              sum(y_pred * y_true) / nullif(sum(y_true), 0),
              sum(y_pred * (1 - y_true)) / nullif(sum(1 - y_true), 0),
              avg(CASE WHEN y_pred = y_true THEN 1 ELSE 0 END)
            FROM read_parquet('{path}') GROUP BY GROUPING SETS ({sets})"""
    ).fetchall()
    width = len(ATTRIBUTES)
    found = [
        tuple(name for name, cell in zip(ATTRIBUTES, row[:width], strict=True) if cell is not None)
        for row in rows
    ]
    return {names: found.count(names) for names in SUBSETS}


def fairlearn(path: Path) -> dict[tuple[str, ...], int]:
    import pandas as pd
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    frame = pd.read_parquet(path)
    metrics = {
        "selection_rate": selection_rate, "tpr": true_positive_rate, "fpr": false_positive_rate,
        "accuracy": accuracy_score,
    }  # fmt: skip
    found = {}
    for names in SUBSETS:
        made = MetricFrame(
            metrics=metrics, y_true=frame.y_true, y_pred=frame.y_pred, sensitive_features=frame[list(names)]
        )
        found[names] = len(made.by_group)
    return found


def aequitas(path: Path) -> dict[tuple[str, ...], int]:
    """It knows single attributes only: intersections are made into columns first, as its manual says."""
    import pandas as pd
    from aequitas.group import Group

    frame = pd.read_parquet(path)
    given = pd.DataFrame({"score": frame.y_pred, "label_value": frame.y_true})
    for names in SUBSETS:
        joined = frame[names[0]].astype(object)
        for name in names[1:]:
            joined = joined + "×" + frame[name].astype(object)
        given["×".join(names)] = joined
    table, _ = Group().get_crosstabs(given, attr_cols=["×".join(names) for names in SUBSETS])
    sizes = table.groupby("attribute_name").size()
    return {names: int(sizes["×".join(names)]) for names in SUBSETS}


def peak(rows: int, folder: Path) -> tuple[float, float]:
    """MiB at the most, and seconds, of a process of its own that counts a file of so many rows."""
    path = folder / f"{rows}.parquet"
    write(path, rows)
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.bias", str(path)], capture_output=True, text=True, check=True
    )
    path.unlink()
    mebibytes, seconds = ran.stdout.split()
    return float(mebibytes), float(seconds)


def main() -> None:
    wanted = {names: int(np.prod([ATTRIBUTES[name] for name in names])) for names in SUBSETS}
    with tempfile.TemporaryDirectory(prefix="crivo-benchmark-") as place:
        folder = Path(place)
        path = folder / "rows.parquet"
        write(path, ROWS)
        ours: float | None = None
        rows: list[tuple[Any, ...]] = []
        contenders: tuple[tuple[str, Callable[[Path], Any], int], ...] = (
            ("Crivo", crivo, TIMES),
            ("duckdb", duckdb, TIMES),
            ("aequitas", aequitas, 1),
            ("fairlearn", fairlearn, 1),
        )
        for name, call, times in contenders:
            try:
                importlib.import_module("audits.checks.bias" if name == "Crivo" else name)
            except ImportError as error:
                sys.stdout.write(f"{name} is left out: {error}. See benchmarks/requirements.txt.\n")
                continue
            if times > 1 and call(path) != wanted:  # the first call also loads what there is to load
                raise SystemExit(f"{name} does not answer the question")
            milliseconds = ground.cpu(lambda call=call: call(path), times)[0]
            ours = ours or milliseconds
            rows.append((name, milliseconds, milliseconds / ours))
        title = (
            f"Rates of every group of {len(SUBSETS)} attributes and intersections, {ROWS:,} rows from Parquet"
        )
        ground.table(title, ("who", "CPU ms (best)", "÷ Crivo"), rows)
        found = [(rows_, *peak(rows_, folder)) for rows_ in MEMORY]
        least = found[0][1]
        ground.table(
            "Memory of counting, each in a process of its own",
            ("rows", "peak MiB", "÷ first", "seconds"),
            [(f"{count:,}", mebibytes, mebibytes / least, seconds) for count, mebibytes, seconds in found],
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:  # a file to count: see peak()
        taken = ground.timed(lambda: crivo(Path(sys.argv[1])), 1)[0] / 1000
        # not ru_maxrss, which a process inherits from the one that started it
        status = Path("/proc/self/status").read_text().splitlines()
        kibibytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        sys.stdout.write(f"{kibibytes / 1024} {taken}\n")
    else:
        main()
