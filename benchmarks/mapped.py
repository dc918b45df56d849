"""A long bias check in one pass, and divided among two workers: real services and children, a queue as the broker.

Time from the moment the check is asked for to its finished row. Both give the same digest, or the benchmark stops.
Arguments: numbers of rows, if not those below.
"""

from __future__ import annotations

import io
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks import ground

ROWS = (1_000_000, 4_000_000, 10_000_000)
WORKERS, TIMES = 2, 2


def write(path: Path, rows: int) -> None:
    """In row groups of 2**18 rows; making it must not need the memory either."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    writer = None
    for start in range(0, rows, 1 << 18):
        n = min(1 << 18, rows - start)
        columns: dict[str, Any] = {
            "sex": pa.array(["f", "m"]).take(pa.array(random.integers(0, 2, n))),
            "region": pa.array([f"region {k}" for k in range(9)]).take(pa.array(random.integers(0, 9, n))),
            "age": random.integers(18, 90, n).astype(np.int16),
            **{f"x{k}": random.normal(size=n).round(3) for k in range(5)},
        }
        columns["y"] = (columns["x0"] + random.normal(size=n) > 0).astype(np.int8)
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def model() -> bytes:
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(2)
    frame = pd.DataFrame({f"x{k}": random.normal(size=5000) for k in range(5)})
    frame["age"] = random.integers(18, 90, 5000)
    content: bytes = skops.io.dumps(LogisticRegression().fit(frame, frame.x0 + random.normal(size=5000) > 0))
    return content


class Workers:
    """Two processes that take what is sent, as Celery's would. `map_rows`: from which length they divide a check."""

    def __init__(self, map_rows: int) -> None:
        context = multiprocessing.get_context("fork")
        self.tasks: Any = context.Queue()
        self.ready = context.Semaphore(0)
        self.processes = [context.Process(target=self._work, args=(map_rows,)) for _ in range(WORKERS)]
        for process in self.processes:
            process.start()
        for _ in self.processes:
            self.ready.acquire()

    def _work(self, map_rows: int) -> None:
        from django.conf import settings
        from django.db import connection

        from audits import dispatch
        from audits.services.check_parts import TASK
        from audits.services.confined import zygote
        from audits.services.execution import run_check
        from audits.services.mapping import run_part

        settings.CRIVO_MAP_ROWS = map_rows
        dispatch.send = lambda task, *ids: self.tasks.put((task, *ids)) is None
        zygote().start()
        self.ready.release()
        while (message := self.tasks.get()) is not None:
            task, row = message
            (run_part if task == TASK else run_check)(UUID(row))
        connection.close()
        zygote().close()

    def end(self) -> None:
        for _ in self.processes:
            self.tasks.put(None)
        for process in self.processes:
            process.join()


def ask(workspace: Any, materials: list[dict[str, Any]]) -> Any:
    from audits.canonical import digest_of
    from audits.checks.catalogue import CATALOGUE
    from audits.ids import uuid7
    from audits.models import CheckRun

    slug = "bias.group_disparity"
    question = {
        "check": slug, "version": CATALOGUE[slug].version, "parameters": {"intersections": 2}, "seed": 7,
        "semantics": {
            "task": "binary", "target": "y", "output": "probability", "positive_label": 1, "favourable_label": 1,
            "sensitive": {"sex": {}, "region": {}, "age": {"bins": [30, 50, 65]}},
        },
        "materials": materials,
    }  # fmt: skip
    return CheckRun.objects.create(
        workspace=workspace, subject_kind="model_version", subject_id=uuid7(), subject_digest="sha256:00",
        check_slug=slug, check_version=CATALOGUE[slug].version, input=question, input_digest=digest_of(question),
    )  # fmt: skip


def main() -> None:
    ground.django()
    from django.db import connection

    from audits import blobs, keys
    from governance.services.bootstrap import bootstrap

    keys.make_secret("sealing")
    workspace = bootstrap("default", None).value
    artifact = blobs.store(workspace.id, io.BytesIO(model()), cap=1 << 30)
    rows: list[tuple[Any, ...]] = []
    connection.close()  # not to be shared with the workers
    pools = {"one pass": Workers(0), "divided": Workers(1)}
    with tempfile.TemporaryDirectory(prefix="crivo-benchmark-") as folder:
        for count in [int(given) for given in sys.argv[1:]] or ROWS:
            path = Path(folder) / f"{count}.parquet"
            write(path, count)
            with path.open("rb") as file:
                stored = blobs.store(workspace.id, file, cap=1 << 33)
            blobs.refer(workspace.id, stored)
            path.unlink()
            materials = [
                {"role": "artifact", "digest": artifact.digest, "format": "skops", "dialect": {}},
                {"role": "evaluation", "digest": stored.digest, "format": "parquet", "dialect": {}},
            ]
            seconds: dict[str, list[float]] = {name: [] for name in pools}
            digests = set()
            for _ in range(TIMES):  # taking turns, so that both meet the same load of the machine
                for name, workers in pools.items():
                    run = ask(workspace, materials)
                    took, found = finished(workers, run)
                    if found.state != "completed" or (name == "divided") != (
                        "parts" in found.run_environment
                    ):
                        raise SystemExit(f"the ground is not what it should be: {found.result['error']}")
                    seconds[name].append(took)
                    digests.add(found.result_digest)
            if len(digests) != 1:
                raise SystemExit("divided, it gives other bytes")
            whole, divided = (min(found) for found in seconds.values())
            rows.append((f"{count:,}", whole, divided, whole / divided))
    for workers in pools.values():
        workers.end()
    ground.table(
        f"Group disparity, three attributes and their pairs, {WORKERS} workers; the shorter of {TIMES}, seconds",
        ("rows", "one pass", "divided", "one pass ÷ divided"),
        rows,
    )


def finished(workers: Workers, run: Any) -> tuple[float, Any]:
    """(seconds, the finished run)."""
    from audits.services.check_runs import RUN_TASK

    started = time.perf_counter()
    workers.tasks.put((RUN_TASK, str(run.id)))
    while True:
        run.refresh_from_db()
        if run.finished:
            return time.perf_counter() - started, run
        time.sleep(0.02)


if __name__ == "__main__":
    main()
