"""The ground all tests stand on: a real PostgreSQL with the real roles, and the fixed cast, made through services.

The database is created and migrated as crivo_migrator; tests run as crivo_app, exactly like the service. A test that
commits (`django_db(transaction=True)`) is cleaned up behind it through the migrator, with the triggers off.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase

from audits import keys
from audits.ledger.signing import SECRETS, make_keys
from governance.policy import schema
from tests.cast import Cast, make_cast

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Translations are compiled once, before the workers start."""
    if not hasattr(config, "workerinput"):
        from governance.console.catalogue import compile_all

        compile_all()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Public vectors and goldens kept beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with public vectors and goldens is not here")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _data_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keys, blobs and published checkpoints of the tests live in a folder that is thrown away."""
    folder = tmp_path_factory.mktemp("data")
    settings.CRIVO_KEYS = str(folder / "keys")
    settings.CRIVO_PUBLISH = str(folder / "published")
    settings.STORAGES["blobs"]["OPTIONS"]["location"] = str(folder / "blobs")
    for name in SECRETS:
        keys.make_secret(name)
    settings.CRIVO_RATES = dict.fromkeys(settings.CRIVO_RATES, 0)  # limits are on only where they are tested


@pytest.fixture(scope="session", autouse=True)
def _no_broker() -> None:
    """Tasks are run by the tests themselves, or by real workers that are given a broker of their own."""
    from celery import current_app

    current_app.send_task = lambda *args, **kwargs: None


@pytest.fixture(scope="session", autouse=True)
def _parsed_once() -> None:
    """Every test starts with the same sixteen policies; reading YAML is most of the time that takes."""
    parse, known = schema.parse, dict[str, dict[str, Any]]()

    def remembered(text: str) -> dict[str, Any]:
        if text not in known:
            known[text] = parse(text)
        return deepcopy(known[text])

    schema.parse = remembered


def _as_migrator(statement: str) -> None:
    """One statement outside any transaction, as crivo_migrator itself (crivo_owner may not create databases)."""
    parameters = connections["migrator"].get_connection_params()
    parameters.pop("options", None)
    parameters["dbname"] = "postgres"
    connection = psycopg2.connect(
        **{name: parameters[name] for name in parameters if name != "cursor_factory"}
    )
    connection.autocommit = True
    deadline = time.monotonic() + 10
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            break
        except psycopg2.errors.InsufficientPrivilege:
            # FORCE may not end a session of crivo_app: a thread's connection, closed, may still be on its way out.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    connection.close()


# In the transaction of a test that never commits nobody but this sees its rows (tests.scenario.as_owner).
AS_OWNER = """
CREATE FUNCTION test_as_owner(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN EXECUTE statement; END $$
"""


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any, worker_id: str) -> Iterator[None]:
    base = os.environ.get("CRIVO_TEST_DB", "test_crivo")
    name = base if worker_id == "master" else f"{base}_{worker_id}"
    migrator, service, notary = (connections[alias] for alias in ("migrator", "default", "notary"))
    with django_db_blocker.unblock():
        _as_migrator(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _as_migrator(f"CREATE DATABASE {name} OWNER crivo_owner")
        for connection in (migrator, service, notary):
            connection.close()
            connection.settings_dict["NAME"] = name
        call_command("migrate", database="migrator", verbosity=0)
        with migrator.cursor() as cursor:
            cursor.execute(AS_OWNER)
        migrator.close()
    yield
    with django_db_blocker.unblock():
        for connection in (migrator, service, notary):
            connection.close()
        _as_migrator(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


KEEP = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "audits_governed",
    "audits_decision_log",
    "audits_retention_period",
}


def filled_tables(cursor: Any) -> list[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = sorted({row[0] for row in cursor.fetchall()} - KEEP)
    cursor.execute(
        " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables)
    )
    return [row[0] for row in cursor.fetchall()]


def past_the_triggers(cursor: Any, tables: list[str], statements: list[str]) -> None:
    """In one transaction and with the triggers of these tables off, as nobody but their owner can."""
    cursor.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger "
        "WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid = ANY(%s::regclass[])",
        [tables],
    )
    triggers = cursor.fetchall()
    off = [f"ALTER TABLE {table} DISABLE TRIGGER {name}" for table, name in triggers]
    on = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}" for table, name in triggers]
    # Foreign keys are deferred to the end: the order does not matter, but the triggers cannot be set before it.
    cursor.execute(";".join(["BEGIN", *off, *statements, "SET CONSTRAINTS ALL IMMEDIATE", *on, "COMMIT"]))


def reset_database() -> None:
    """Empty every table that has rows, through the role that owns them: the service itself could not.

    DELETE, not TRUNCATE: a test leaves a few rows in a third of the tables, and new files for all cost half a second.
    """
    with connections["migrator"].cursor() as cursor:
        filled = filled_tables(cursor)
        if filled:
            past_the_triggers(cursor, filled, [f"DELETE FROM {table}" for table in filled])


class Remembered:
    """The cast as its services made it, once: its rows are copied aside, and put back for every test that wants it."""

    cast: bytes = b""
    tables: dict[str, str] = {}  # table → its columns

    @classmethod
    def make(cls) -> Cast:
        with connections["migrator"].cursor() as cursor:
            if not cls.cast:
                cls.cast = pickle.dumps(make_cast())
                cursor.execute("CREATE SCHEMA remembered")
                for table in filled_tables(cursor):
                    cursor.execute(
                        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
                        "WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'",
                        [table],
                    )
                    cls.tables[table] = cursor.fetchone()[0]
                    cursor.execute(f"CREATE TABLE remembered.{table} AS TABLE public.{table}")
            else:
                copies = [
                    f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM remembered.{table}"
                    for table, columns in cls.tables.items()
                ]
                past_the_triggers(cursor, list(cls.tables), copies)
        found: Cast = pickle.loads(cls.cast)
        return found


# Every test may look through the migrator, too: to check what the service cannot see, and to clean up.
TransactionTestCase._databases_names = classmethod(lambda cls, include_mirrors=True: ["default"])  # type: ignore[attr-defined]
TransactionTestCase._validate_databases = classmethod(
    lambda cls: frozenset({"default", "migrator", "notary"})
)  # type: ignore[attr-defined]
TransactionTestCase._fixture_teardown = lambda self: reset_database()  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _through_the_door(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that commits leaves nothing in the net, unless it says that it goes past the door (`past_the_door`)."""
    marked = [request.node.get_closest_marker(name) for name in ("django_db", "past_the_door")]
    commits = (
        bool(marked[0] and marked[0].kwargs.get("transaction")) or "transactional_db" in request.fixturenames
    )
    if not commits or marked[1] is not None:
        yield
        return
    request.getfixturevalue("transactional_db")  # so that we look before it cleans up
    yield
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT code, operation, table_name, columns FROM out_of_band_change ORDER BY at")
        assert cursor.fetchall() == [], "changed past the door: mark the test past_the_door if it means to"


@pytest.fixture
def cast(db: None) -> Cast:
    """Ana, Bruno, Bia, Clara, Davi and a pipeline token, in the workspace `default`."""
    return make_cast()


@pytest.fixture
def published(settings: Any, tmp_path: Path) -> Path:
    """A folder for the published checkpoints of this test alone: the next one begins with an empty log."""
    settings.CRIVO_PUBLISH = str(tmp_path / "published")
    make_keys()
    return tmp_path / "published"


@pytest.fixture
def committed_cast(transactional_db: None, published: Path) -> Cast:
    """The cast for tests that commit: refusals, concurrency, the ledger."""
    return Remembered.make()
