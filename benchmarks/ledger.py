"""What the ledger costs: governed writes with it ÷ without, commit to signed checkpoint, exports, their verification.

    script/benchmark ledger [--events 10000,100000,1000000] [--writes 400]

All ratios are of one run on one database, with fsync on (it refuses to measure without). The variants take turns in
short rounds, so that what else the machine does hits all of them. «Without» is the same service, door and transaction
with the event, its lock and the net left out. Packages of benchmarks/requirements.txt are measured on the same write.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import ground

ROUNDS = 5
WARM = (
    10  # writes of each process before its time counts: statements of functions are planned once per session
)
WITHOUT, LEDGER, NET = "without a ledger", "ledger", "ledger and net"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger")
    parser.add_argument("--events", default="10000,100000")
    parser.add_argument("--writes", type=int, default=400, help="per variant, writers and round")
    parser.add_argument("--only", choices=["writes", "checkpoint", "export"])
    parser.add_argument(
        "--measure", type=int, help=argparse.SUPPRESS
    )  # an export of so many events, in this process
    parser.add_argument("--verify", type=Path, help=argparse.SUPPRESS)  # this export, in this process
    parser.add_argument("--vkey", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.verify is not None:
        return measure_verification(options.verify, options.vkey, options.jobs)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
    packages = [
        name for name in ("auditlog", "simple_history", "pghistory") if importlib.util.find_spec(name)
    ]
    if options.measure is not None:
        return measure_export(options.measure, options.jobs)
    if options.only in (None, "export"):
        exports([int(text) for text in options.events.split(",")], options.jobs)
    if options.only == "export":
        return None
    from django.conf import settings

    settings.INSTALLED_APPS += [*packages, *(["pgtrigger"] if "pghistory" in packages else [])]
    settings.SIMPLE_HISTORY_ENABLED = False
    ready()
    if options.only in (None, "writes"):
        writes(options.writes, packages)
    if options.only in (None, "checkpoint"):
        checkpoints()
    return None


def ready(name: str = "benchmark", durable: bool = True) -> None:
    ground.django(name)
    from django.db import connection

    from audits import keys
    from audits.ledger.publication import Publication
    from audits.ledger.signing import SECRETS, attestation_key, checkpoint_key, jwks

    for secret in SECRETS:
        keys.make_secret(secret)
    Publication(checkpoint_key().vkey).publish_keys(jwks(attestation_key()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        if durable and cursor.fetchone() != ("on", "on"):
            raise SystemExit("fsync or synchronous_commit is off: these figures would say nothing")


# --- governed writes ---------------------------------------------------------------------------------------


def writes(count: int, packages: list[str]) -> None:
    """The smallest governed write there is, called directly, and as a pipeline sends it, without the network."""
    from tests.cast import make_cast

    cast = make_cast()
    command, headers = cast.command("ana"), cast.headers("ana")

    def directly() -> Callable[[str], None]:
        from registry.services.datasets import register_dataset

        return lambda name: void(register_dataset(command=command, name=name))

    def requested() -> Callable[[str], None]:
        from django.test import Client

        client = Client(headers=headers)

        def post(name: str) -> None:
            answer = client.post(
                "/api/v1/datasets", {"name": name}, "application/json", headers={"Idempotency-Key": name}
            )
            if answer.status_code != 201:
                raise SystemExit(answer.content.decode())

        return post

    variants: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
        WITHOUT: lambda: as_it_is(recorded=False, net=False),
        LEDGER: lambda: as_it_is(recorded=True, net=False),
        NET: lambda: as_it_is(recorded=True, net=True),
        **{name: PACKAGES[name]() for name in packages},
    }
    for title, writer in (
        ("register_dataset, one transaction each", directly),
        ("POST /api/v1/datasets with an Idempotency-Key, one transaction each", requested),
    ):
        compare(title, variants, writer, count)
    absent = {"auditlog", "simple_history", "pghistory"} - set(packages)
    if absent:
        sys.stdout.write(f"\nNot installed, so not measured: {', '.join(sorted(absent))}.\n")


def void(_: object) -> None:
    return None


def compare(
    title: str,
    variants: dict[str, Callable[[], contextlib.AbstractContextManager[None]]],
    writer: Callable[[], Callable[[str], None]],
    count: int,
) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    for round_number in range(ROUNDS):
        for writers in (1, 8):
            for name, variant in variants.items():
                prefix = f"{writer.__name__}-{round_number}-{writers}-{name}".replace(" ", "-")
                before = events_written()
                with variant():
                    rate = throughput(writer, writers, count, prefix)
                if (events_written() > before) != (name in (LEDGER, NET)):
                    raise SystemExit(
                        f"«{name}» is not what it says: whether events were written was looked at"
                    )
                if round_number:  # the first one warms up
                    rates.setdefault((name, writers), []).append(rate)
    rows = []
    for name in variants:
        row: list[Any] = [name]
        for writers in (1, 8):
            ratios = [a / b for a, b in zip(rates[name, writers], rates[WITHOUT, writers], strict=True)]
            row += [median(rates[name, writers]), median(ratios)]
        rows.append(row)
    header = ("governed write", "1 writer /s", "÷ without", "8 writers /s", "÷ without")
    ground.table(f"Governed writes: {title}", header, rows)


def events_written() -> int:
    from audits.models import Event

    return Event.objects.count()


def throughput(writer: Callable[[], Callable[[str], None]], writers: int, count: int, prefix: str) -> float:
    """Writes per second of so many processes, each with a connection of its own."""
    from django.db import connections

    connections.close_all()
    context = multiprocessing.get_context("fork")
    gate, each = context.Barrier(writers + 1, timeout=120), count // writers

    def work(who: int) -> None:
        write = writer()
        for number in range(WARM):
            write(f"warm-{prefix}-{who}-{number}")
        gate.wait()
        for number in range(each):
            write(f"d-{prefix}-{who}-{number}")
        gate.wait()

    processes = [context.Process(target=work, args=(who,)) for who in range(writers)]
    for process in processes:
        process.start()
    gate.wait()
    began = time.perf_counter()
    gate.wait()
    rate = each * writers / (time.perf_counter() - began)
    for process in processes:
        process.join()
    return rate


def run_as_owner(statement: str) -> None:
    from django.db import connections

    with connections["migrator"].cursor() as cursor:
        cursor.execute(statement)


@contextlib.contextmanager
def as_it_is(*, recorded: bool, net: bool) -> Iterator[None]:
    registering: Any = importlib.import_module("registry.services.registering")
    real = registering.record
    if not net:
        run_as_owner("ALTER TABLE registry_dataset DISABLE TRIGGER net_row")
    if not recorded:
        registering.record = lambda *args, **kwargs: None
    try:
        yield
    finally:
        registering.record = real
        run_as_owner("ALTER TABLE registry_dataset ENABLE ALWAYS TRIGGER net_row")


def _with_auditlog() -> Callable[[], contextlib.AbstractContextManager[None]]:
    from auditlog.registry import auditlog  # type: ignore[import-not-found]

    from registry.models import Dataset

    run_as_owner("GRANT ALL ON ALL TABLES IN SCHEMA public TO crivo_app")
    run_as_owner("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO crivo_app")

    @contextlib.contextmanager
    def variant() -> Iterator[None]:
        auditlog.register(Dataset)
        try:
            with as_it_is(recorded=False, net=False):
                yield
        finally:
            auditlog.unregister(Dataset)

    return variant


def _with_simple_history() -> Callable[[], contextlib.AbstractContextManager[None]]:
    import simple_history  # type: ignore[import-not-found]
    from django.conf import settings
    from django.db import connections

    from registry.models import Dataset

    simple_history.register(Dataset, app="registry")
    history = Dataset.history.model  # type: ignore[attr-defined]
    with connections["migrator"].schema_editor() as editor:
        editor.create_model(history)
    run_as_owner(f"GRANT ALL ON {history._meta.db_table} TO crivo_app")

    @contextlib.contextmanager
    def variant() -> Iterator[None]:
        settings.SIMPLE_HISTORY_ENABLED = True
        try:
            with as_it_is(recorded=False, net=False):
                yield
        finally:
            settings.SIMPLE_HISTORY_ENABLED = False

    return variant


def _with_pghistory() -> Callable[[], contextlib.AbstractContextManager[None]]:
    import pghistory  # type: ignore[import-not-found]
    import pgtrigger  # type: ignore[import-not-found]

    from registry.models import Dataset

    model = pghistory.create_event_model(
        Dataset, pghistory.InsertEvent(), pghistory.UpdateEvent(), context_field=None, app_label="registry"
    )
    run_as_owner(  # as its migration would
        f"CREATE TABLE {model._meta.db_table} (pgh_id bigserial PRIMARY KEY, pgh_created_at timestamptz NOT NULL, "
        "pgh_label text NOT NULL, pgh_obj_id uuid NOT NULL, LIKE registry_dataset)"
    )
    run_as_owner(f"CREATE INDEX ON {model._meta.db_table} (pgh_obj_id)")
    run_as_owner(
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO crivo_app; GRANT ALL ON {model._meta.db_table} TO crivo_app"
    )
    triggers = [trigger for tracked, trigger in pgtrigger.registered() if tracked is Dataset]
    for trigger in triggers:
        trigger.install(Dataset, database="migrator")
    names = [trigger.get_pgid(Dataset) for trigger in triggers]

    def switch(how: str) -> None:
        for name in names:
            run_as_owner(f'ALTER TABLE registry_dataset {how} TRIGGER "{name}"')

    switch("DISABLE")

    @contextlib.contextmanager
    def variant() -> Iterator[None]:
        switch("ENABLE")
        try:
            with as_it_is(recorded=False, net=False):
                yield
        finally:
            switch("DISABLE")

    return variant


PACKAGES = {"auditlog": _with_auditlog, "simple_history": _with_simple_history, "pghistory": _with_pghistory}


# --- from commit to checkpoint -----------------------------------------------------------------------------


def checkpoints(count: int = 300) -> None:
    """One event at a time: from its commit until it is in a checkpoint that was signed and published."""
    from django.conf import settings
    from django.db import connection, connections, transaction

    from audits.actors import Command, SubjectRef, system_actor
    from audits.ids import uuid7
    from audits.ledger.inclusion import published_at
    from audits.ledger.record import record
    from audits.models import Workspace

    workspace = Workspace.objects.get_or_create(name="default")[0]
    database, office = connection.settings_dict, connections["notary"].settings_dict
    host = database["OPTIONS"].get("host") or database["HOST"]
    environ = {
        **os.environ,
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}?host={host}",
        "DATABASE_NOTARY_URL": f"postgres://{office['USER']}:{office['PASSWORD']}@/{office['NAME']}?host={host}",
        "CRIVO_PUBLISH": settings.CRIVO_PUBLISH,
        "CRIVO_KEYS": settings.CRIVO_KEYS,
        "CRIVO_ORIGIN": settings.CRIVO_ORIGIN,
        "SECRET_KEY": settings.SECRET_KEY,
    }
    notary = subprocess.Popen([sys.executable, "manage.py", "notary"], env=environ)
    try:
        waits = []
        for number in range(count + 20):
            with transaction.atomic():
                subject = SubjectRef("dataset", uuid7(), "d")
                event = record(
                    Command(system_actor("shell", workspace.id)), verb="dataset.registered", subject=subject
                )
            began = time.perf_counter()
            while not published_at([event.id]):
                if time.perf_counter() - began > 30:
                    raise SystemExit("no checkpoint came")
                time.sleep(0.002)
            if number >= 20:
                waits.append((time.perf_counter() - began) * 1000)
    finally:
        notary.terminate()
        notary.wait(10)
    waits.sort()
    row = ("one event after another", ground.at(waits, 0.5), ground.at(waits, 0.99), waits[-1])
    ground.table("Commit to signed, published checkpoint", ("events", "p50 ms", "p99 ms", "max ms"), [row])


# --- exports -----------------------------------------------------------------------------------------------


def exports(sizes: list[int], jobs: int) -> None:
    """Each size in a process of its own, so that the peak of its memory is its own."""
    rows = []
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.ledger", "--measure", str(size), "--jobs", str(jobs)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(
            [float(cell) if "." in cell else cell for cell in done.stdout.split("\n")[-2].split("\t")]
        )
    header = (
        "events", "export /s", "per core-second", "peak MB", "verify /s", "per core-second", "peak MB",
        "÷ JSON and hashes alone",
        f"verify /s, {jobs} processes",
    )  # fmt: skip
    ground.table("Verifiable export, and its verification by the stand-alone verifier", header, rows)


def peak_memory() -> float:
    """Resident, of this process, in MB (Linux)."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def make_log(size: int) -> None:
    """That many events with a published checkpoint. In a process of its own: its memory is not the export's."""
    from django.db import transaction

    from audits.actors import Command, SubjectRef, system_actor
    from audits.ids import uuid7
    from audits.ledger.notary import Notary
    from audits.ledger.record import record
    from audits.ledger.signing import checkpoint_key
    from audits.models import Workspace
    from benchmarks.fill import fill

    workspace = Workspace.objects.create(name="default")
    if size <= 10_000:
        subjects = [SubjectRef("dataset", uuid7(), f"patients-{number}") for number in range(1_000)]
        with transaction.atomic():
            for number in range(size):
                detail = {"environment": "production", "rows": number}
                command = Command(system_actor("shell", workspace.id))
                record(command, verb="dataset.registered", subject=subjects[number % 1_000], detail=detail)
    else:
        fill(size, workspace)
    notary = Notary(checkpoint_key())
    if not notary.acquire():
        raise SystemExit("another notary is at work")
    while notary.run_pass().more:
        pass
    notary.release()


def measure_export(size: int, jobs: int) -> None:
    """One line of figures. 10,000 events are written by `record` itself, more by COPY of the same rows."""
    ready("benchmark_export", durable=False)
    from django.db import connections

    from audits.models import AuditExport, Checkpoint, Workspace
    from audits.services import export_bundle
    from audits.services.export_work import Work
    from audits.services.exporting import published_vkey

    connections.close_all()
    maker = multiprocessing.get_context("fork").Process(target=make_log, args=(size,))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit("the events could not be made")
    workspace = Workspace.objects.get(name="default")
    export = AuditExport.objects.create(workspace=workspace, requested_by=workspace.id, query={})
    root = Path(os.environ.get("TMPDIR", "/tmp")) / f"crivo-benchmark-export-{os.getpid()}"
    root.mkdir()
    note = Checkpoint.objects.order_by("-size")[0].note.encode()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of what comes now
    wall, core = time.perf_counter(), time.process_time()
    export_bundle.make(export, Work(root), note, published_vkey(), {}, lambda done: None)
    wall, core = time.perf_counter() - wall, time.process_time() - core
    peak = peak_memory()
    cells = [f"{size:,}", f"{size / wall:.0f}.", f"{size / core:.0f}.", f"{peak:.0f}."]
    key = published_vkey()
    for processes in (1, jobs):
        command = [sys.executable, "-m", "benchmarks.ledger", "--verify", str(root / "export"), "--vkey", key]
        done = subprocess.run(
            [*command, "--jobs", str(processes)], check=True, capture_output=True, text=True
        )
        figures = done.stdout.split()
        cells += figures if processes == 1 else figures[:1]
        if processes == jobs:
            break
    shutil.rmtree(root)
    sys.stdout.write("\t".join(cells) + "\n")


def measure_verification(folder: Path, key: str, jobs: int) -> None:
    """Events a second, and per second of CPU; peak memory; how the latter rate compares with the floor below."""
    from audits.verifier import verify_export

    lines = Path(folder, "events.jsonl")
    wall, core = time.perf_counter(), time.process_time()
    report = verify_export(folder, key, None, jobs)
    wall, core = time.perf_counter() - wall, time.process_time() - core
    if not report.verified:
        raise SystemExit(f"not verified: {report.problems[:3]}")
    peak = peak_memory()
    floor = time.process_time()
    with lines.open("rb") as file:
        read_and_hashed(file)
    floor = time.process_time() - floor
    sys.stdout.write(f"{report.size / wall:.0f}. {report.size / core:.0f}. {peak:.0f}. {floor / core:.2f}\n")


def read_and_hashed(lines: Iterable[bytes]) -> None:
    """What no verifier in Python can do without if it reads lines as JSON: that, and four hashes (leaf, head, rest and
    one inner node). Nothing is compared.
    """
    for line in lines:
        json.loads(line)
        for part in (line[:470], line[:450], line[450:], line[:65]):
            sha256(part).digest()


if __name__ == "__main__":
    main()
