"""What every benchmark stands on: the machine's name, a fresh database with the real roles, and tables that line up."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def machine() -> str:
    """One line that a figure without is worth nothing."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {load:.1f} at the start"
    )


def django(name: str = "benchmark") -> None:
    """Django on a database of its own, migrated, with keys and blobs in a folder that is thrown away."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
    import django as framework

    framework.setup()
    import psycopg2
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from audits import keys
    from audits.ledger.signing import make_keys

    folder = Path(tempfile.mkdtemp(prefix="crivo-benchmark-"))
    settings.CRIVO_KEYS, settings.CRIVO_PUBLISH = str(folder / "keys"), str(folder / "published")
    settings.STORAGES["blobs"]["OPTIONS"]["location"] = str(folder / "blobs")
    settings.CRIVO_RATES = dict.fromkeys(settings.CRIVO_RATES, 0)
    settings.ALLOWED_HOSTS = ["*"]
    for secret in ("row", "pepper"):
        keys.make_secret(secret)
    make_keys()
    from celery import current_app

    current_app.send_task = lambda *args, **kwargs: None  # nobody is there to answer
    parameters = connections["migrator"].get_connection_params()
    own = {key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)}
    admin = psycopg2.connect(dbname="postgres", **own)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name} OWNER crivo_owner")
    admin.close()
    for alias in ("migrator", "default", "notary"):
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name
    call_command("migrate", database="migrator", verbosity=0)


def timed(call: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of each call, sorted."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1000)
    return sorted(found)


def cpu(call: Callable[[], Any], times: int) -> list[float]:
    """Milliseconds of this process's CPU that each call took, sorted: what a busy machine does not blur."""
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append((time.process_time() - start) * 1000)
    return sorted(found)


def spent(call: Callable[[], Any], times: int) -> float:
    """Mean milliseconds of CPU of each call, in this process and in its database process if that runs here."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        told = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")

    def backend() -> float:
        there = told.exists() and (told.parent / "comm").read_text().startswith("postgres")
        return int(told.read_text().split()[0]) / 1e6 if there else 0.0

    before, start = backend(), time.process_time()
    for _ in range(times):
        call()
    return ((time.process_time() - start) * 1000 + backend() - before) / times


def at(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table in Markdown, so that it can be quoted as it is."""
    texts = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in [list(header), *texts]) for k in range(len(header))]
    out = sys.stdout.write
    out(f"\n{title}\n{machine()}\n\n")
    out("| " + " | ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)) + " |\n")
    out("|" + "|".join("-" * (width + 2) for width in widths) + "|\n")
    for row in texts:
        out("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |\n")
