"""Somebody who owns the database, with triggers off and constraints away: one random change at a time, undone after."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import DataError, IntegrityError, connections, transaction
from psycopg2.extras import Json

TABLES = (
    "audits_event",
    "audits_leaf",
    "audits_node",
    "audits_checkpoint",
    "audits_subject_head",
    "audits_event_text",
    "audits_personal_key",
    "audits_workspace",
    "audits_quarantine",
)
# Beside the leaves, and held against something bound (audits.ledger.beside).
BESIDE = (
    "audits_search_text",
    "audits_legal_hold",
    "out_of_band_change",
    "audits_governed",
    "audits_log_state",
    "audits_earlier_leaf",
    "audits_earlier_checkpoint",
)
KEYS = {
    **dict.fromkeys(BESIDE, ("id",)),
    "audits_governed": ("kind",),
    "audits_event": ("id",),
    "audits_leaf": ("index",),
    "audits_node": ("level", "index"),
    "audits_checkpoint": ("size",),
    "audits_subject_head": ("kind", "subject_id"),
    "audits_event_text": ("id",),
    "audits_personal_key": ("person_id",),
    "audits_workspace": ("id",),
    "audits_quarantine": ("id",),
}
# What no proof covers, and need not: when an event that has its leaf arrived, row numbers, times of bookkeeping.
UNCOVERED = {
    "audits_event": {"xid"},
    "audits_event_text": {"id"},
    "audits_personal_key": {"created_at"},
    "audits_workspace": {"name", "created_at"},
    "audits_quarantine": {"id", "code", "found_at", "event_id"},
}
Row = dict[str, Any]
BESIDE_PLACES: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "audits_search_text": lambda row: (": search finds it by a ",),
    "audits_legal_hold": lambda row: (f"the legal hold {row['id']}",),
    "out_of_band_change": lambda row: (f"event {row['alarm_event']}",),
    "audits_governed": lambda row: ("which rows are compared",),
    "audits_log_state": lambda row: ("the database says that the log is",),
    "audits_earlier_leaf": lambda row: (f"what was kept of the log {row['origin']}",),
    "audits_earlier_checkpoint": lambda row: (f"what was kept of the log {row['origin']}",),
}
ARRAYS = {"columns", "ignored"}  # of text
JSONB = 3802  # the type's number in every PostgreSQL


class Tamper(NamedTuple):
    """`where`: one of these must be named by a finding."""

    what: str
    where: tuple[str, ...]


class Attacker:
    """Changes one thing per call; `undo` brings back what was there. Deterministic for a seed."""

    def __init__(self, seed: int, tables: Sequence[str] = TABLES) -> None:
        self.random = random.Random(seed)
        self.touched: set[str] = set()
        self.run("SET synchronous_commit = off")  # only this session's, and only for speed
        self.rows = {table: self._read(table) for table in tables}
        used = {row["workspace_id"] for row in self.rows["audits_event"]}
        self.rows["audits_workspace"] = [row for row in self.rows["audits_workspace"] if row["id"] in used]

    def _read(self, table: str) -> list[Row]:
        self.run(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}")
        with connections["migrator"].cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} ORDER BY {', '.join(map(_quoted, KEYS[table]))}")
            columns = [(column.name, column.type_code == JSONB) for column in cursor.description]
            return [
                {
                    name: json.loads(value) if as_json and isinstance(value, str) else value
                    for (name, as_json), value in zip(columns, row, strict=True)
                }
                for row in cursor.fetchall()
            ]

    def run(self, statement: str, *parameters: Any) -> int:
        with connections["migrator"].cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return int(cursor.rowcount)

    def undo(self) -> None:
        with transaction.atomic(using="migrator"):
            for table in self.touched:
                self.run(f"DELETE FROM {table}")
                self.run(f"INSERT INTO {table} SELECT * FROM kept_{table}")
        self.touched.clear()

    def places(self, table: str, row: Row) -> tuple[str, ...]:
        """How a report may name this row."""
        if table == "audits_event":
            return (f"event {row['id']}",)
        if table == "audits_leaf":
            at = row["index"]
            return (f"entry {at},", f"no leaf at {at}", f"event {row['event_id']}", f"the log has {at}")
        if table == "audits_node":
            return (f"the inner node {row['index']} of level {row['level']} ",)
        if table == "audits_checkpoint":
            return ("the stored checkpoint over ",)
        if table in BESIDE:
            return BESIDE_PLACES[table](row)
        if table == "audits_event_text":
            return (f"event {row['event_id']}",)
        if table == "audits_subject_head":
            return (f"the head of {row['kind']} {row['subject_id']} ",)
        owned = {
            "audits_personal_key": ("audits_event_text", "person_id", "person_id", "event_id"),
            "audits_workspace": ("audits_event", "id", "workspace_id", "id"),
        }
        if table in owned:
            of, ours, theirs, event = owned[table]
            return tuple(f"event {other[event]}" for other in self.rows[of] if other[theirs] == row[ours])
        return ("",)

    # --- one change ----------------------------------------------------------------------------------------

    def edit(self, table: str | None = None) -> Tamper | None:
        """Any column of any row to anything of its type; None if that came out as no change."""
        table = table or self.random.choice([name for name in TABLES if self.rows[name]])
        row = self.random.choice(self.rows[table])
        column = self.random.choice(sorted(set(row) - UNCOVERED.get(table, set())))
        others = [other[column] for other in self.rows[table] if other[column] != row[column]]
        value = row[column]
        if others and self.random.random() < 0.3:
            wanted = self.random.choice(others)
        else:
            wanted = mutated(self.random, value, column)
        if wanted == value and type(wanted) is type(value):
            return None
        try:
            self.change(table, row, column, wanted)
        except (IntegrityError, DataError):  # a primary key twice, a text too long: not even the owner can
            return None
        return Tamper(f"{table}.{column}: {value!r} → {wanted!r}"[:300], self.places(table, row))

    def change(self, table: str, row: Row, column: str, wanted: Any) -> None:
        as_json = isinstance(wanted, dict) or (isinstance(wanted, list) and column not in ARRAYS)
        self._change(table, row, column, Json(wanted) if as_json else wanted)

    def _change(self, table: str, row: Row, column: str, value: Any) -> None:
        self.touched.add(table)
        where = " AND ".join(f"{_quoted(key)} = %s" for key in KEYS[table])
        statement = f"UPDATE {table} SET {_quoted(column)} = %s WHERE {where}"
        assert self.run(statement, value, *(row[key] for key in KEYS[table])) == 1

    def delete(self) -> Tamper:
        """One row of a table whose rows are needed."""
        table = self.random.choice(
            ["audits_event", "audits_leaf", "audits_node", "audits_event_text", "audits_personal_key"]
        )
        row = self.random.choice(self.rows[table])
        self._gone(table, row)
        return Tamper(f"a row of {table} deleted", self.places(table, row))

    def _gone(self, table: str, row: Row) -> None:
        self.touched.add(table)
        where = " AND ".join(f"{_quoted(key)} = %s" for key in KEYS[table])
        assert self.run(f"DELETE FROM {table} WHERE {where}", *(row[key] for key in KEYS[table])) == 1

    def delete_with_leaf(self) -> Tamper:
        """An event and its leaf, and sometimes all that came after in the log."""
        leaf = self.random.choice(self.rows["audits_leaf"])
        last = leaf["index"] if self.random.random() < 0.5 else len(self.rows["audits_leaf"])
        for other in self.rows["audits_leaf"][leaf["index"] : last + 1]:
            self._gone("audits_leaf", other)
            self._gone("audits_event", {"id": other["event_id"]})
        whole = ("covers", f"no leaf at {leaf['index']}")
        return Tamper(f"entries {leaf['index']}-{last} deleted with their leaves", whole)

    def insert(self) -> Tamper:
        """An event made up from another one, or a genuine one replayed under another id, number or time."""
        self.touched.add("audits_event")
        row = self.random.choice(self.rows["audits_event"])
        new = uuid4()
        seq = 1 + max(
            other["subject_seq"]
            for other in self.rows["audits_event"]
            if (other["subject_kind"], other["subject_id"]) == (row["subject_kind"], row["subject_id"])
        )
        changes: Row = {"id": str(new), "subject_seq": seq}
        if self.random.random() < 0.5:
            changes = {"id": str(new), "subject_id": str(uuid4())}
        if self.random.random() < 0.5:
            changes["verb"] = "promotion.granted"
        self.run(
            "INSERT INTO audits_event SELECT (jsonb_populate_record(e, %s)).* FROM audits_event e WHERE id = %s",
            Json(changes), row["id"],
        )  # fmt: skip
        if self.random.random() < 0.5:  # with a leaf of its own at the end
            self.touched.add("audits_leaf")
            size = len(self.rows["audits_leaf"])
            self.run(
                'INSERT INTO audits_leaf ("index", event_id, hash) VALUES (%s, %s, sha256(%s))',
                size,
                new,
                b"x",
            )
        return Tamper(f"an event of {row['id']} replayed with {changes}", (f"event {new}",))

    def reorder(self) -> Tamper:
        """Two leaves change places, with or without their hashes."""
        self.touched.add("audits_leaf")
        one, two = self.random.sample(self.rows["audits_leaf"], 2)
        column = self.random.choice(["event_id", "hash", "index"])
        if column == "index":
            for was, becomes in ((one["index"], -1), (two["index"], one["index"]), (-1, two["index"])):
                self.run('UPDATE audits_leaf SET "index" = %s WHERE "index" = %s', becomes, was)
            return Tamper(
                f"entries {one['index']} and {two['index']} swapped", ("the inner node", "signs another root")
            )
        self._change("audits_leaf", one, column, uuid4() if column == "event_id" else one[column])
        for row, value in ((two, one[column]), (one, two[column])):
            self._change("audits_leaf", row, column, value)
        return Tamper(
            f"{column} of {one['index']} and {two['index']} swapped",
            (f"entry {one['index']},", f"entry {two['index']},"),
        )

    def truncate(self) -> Tamper:
        table = self.random.choice(
            ["audits_event", "audits_leaf", "audits_node", "audits_event_text", "audits_personal_key"]
        )
        self.touched.add(table)
        self.run(f"DELETE FROM {table}")  # TRUNCATE, but undone faster
        return Tamper(
            f"{table} emptied", ("entry 0, event", "covers", "the inner node 0 of level 1", "event ")
        )

    def restore(self) -> Tamper:
        """Everything as it was when the log had some fewer entries: yesterday's backup, put back whole."""
        size = self.random.randrange(0, len(self.rows["audits_leaf"]))
        gone = [row["event_id"] for row in self.rows["audits_leaf"] if row["index"] >= size]
        self.touched |= {
            "audits_leaf",
            "audits_event",
            "audits_node",
            "audits_checkpoint",
            "audits_event_text",
            "audits_subject_head",
        }
        self.run('DELETE FROM audits_leaf WHERE "index" >= %s', size)
        self.run("DELETE FROM audits_event_text WHERE event_id = ANY(%s::uuid[])", list(map(str, gone)))
        self.run("DELETE FROM audits_event WHERE id = ANY(%s::uuid[])", list(map(str, gone)))
        self.run('DELETE FROM audits_node WHERE ("index" + 1) << level > %s', size)
        self.run("DELETE FROM audits_checkpoint WHERE size > %s", size)
        self.run(
            "UPDATE audits_subject_head h SET seq = e.subject_seq, digest = encode(l.hash, 'hex'), state = e.after "
            "FROM audits_event e JOIN audits_leaf l ON l.event_id = e.id "
            "WHERE e.subject_kind = h.kind AND e.subject_id = h.subject_id "
            "AND e.subject_seq = (SELECT max(x.subject_seq) "
            "FROM audits_event x WHERE x.subject_kind = h.kind AND x.subject_id = h.subject_id)"
        )
        self.run(
            "DELETE FROM audits_subject_head h WHERE NOT EXISTS "
            "(SELECT 1 FROM audits_event e WHERE e.subject_kind = h.kind AND e.subject_id = h.subject_id)"
        )
        return Tamper(f"the backup of {size} entries restored", (f"the log has {size}",))

    def change_keys(self) -> Tamper | None:
        return self.edit("audits_personal_key")

    def any(self) -> Tamper | None:
        moves: list[Callable[[], Tamper | None]] = [
            self.edit, self.edit, self.edit, self.edit, self.delete, self.delete_with_leaf, self.insert, self.reorder,
            self.restore, self.change_keys,
        ]  # fmt: skip
        if self.random.random() < 0.02:
            return self.truncate()
        return self.random.choice(moves)()


def _quoted(name: str) -> str:
    return f'"{name}"'


def mutated(chance: random.Random, value: Any, column: str = "") -> Any:
    """Something else of the same type, near or far."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + chance.choice([1, -1, 7, 1 << 40])
    if isinstance(value, float):
        return value + chance.choice([1.0, -0.5])
    if isinstance(value, datetime):
        return value + chance.choice([timedelta(microseconds=1), timedelta(days=-1), timedelta(hours=3)])
    if isinstance(value, UUID):
        return UUID(int=value.int ^ 1 << chance.randrange(128))
    if isinstance(value, memoryview | bytes):
        data = bytearray(value)
        move = chance.randrange(3)
        if move == 0 and data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif move == 1:
            del data[len(data) // 2 :]
        else:
            data += b"\0"
        return bytes(data)
    if isinstance(value, str):
        moves = [value + "\t", value[1:], value.upper(), value + "́", value[::-1], "x"]
        if value:
            at = chance.randrange(len(value))
            moves.append(value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :])
        return chance.choice(moves)
    if isinstance(value, list):
        move = chance.randrange(3)
        if move == 0 and value:
            at = chance.randrange(len(value))
            return [*value[:at], mutated(chance, value[at]), *value[at + 1 :]]
        if move == 1 and value:
            return value[1:]
        return [*value, "x" if column in ARRAYS else {"kind": "x", "digest": "y"}]
    if isinstance(value, dict):
        move = chance.randrange(3)
        if move == 0 and value:
            name = chance.choice(sorted(value))
            return {**value, name: mutated(chance, value[name])}
        if move == 1 and value:
            gone = chance.choice(sorted(value))
            return {name: item for name, item in value.items() if name != gone}
        return {**value, f"added{chance.randrange(10)}": chance.choice([None, 0, "", "x", {}, []])}
    if column in ("reason", "policy"):
        return chance.choice([{}, {"code": "x", "params": {}}, {"id": "p", "version": 1, "digest": "d"}, []])
    if column == "on_behalf_of":
        return UUID(int=chance.getrandbits(128))
    return chance.choice([0, "", "x"]) if not column else None


@contextmanager
def owner_of_everything() -> Iterator[None]:
    """Triggers off, foreign keys and unique constraints beside the primary keys away; put back afterwards."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
            "AND (tgrelid::regclass::text LIKE 'audits_%%' OR tgrelid = 'out_of_band_change'::regclass)"
        )
        triggers = cursor.fetchall()
        cursor.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype IN ('f', 'u', 'c') AND (conrelid::regclass::text LIKE 'audits_%%' "
            "OR conrelid = 'out_of_band_change'::regclass OR confrelid = 'audits_workspace'::regclass) "
            "ORDER BY contype"
        )
        constraints = cursor.fetchall()
        # Keys that refer to a unique constraint go first, and come back last.
        for table, name, _ in sorted(constraints, key=lambda row: not row[2].startswith("FOREIGN")):
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        for table, name in triggers:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
    try:
        yield
    finally:
        with connections["migrator"].cursor() as cursor:
            for table, name, definition in sorted(constraints, key=lambda row: row[2].startswith("FOREIGN")):
                cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
            for table, name in triggers:
                cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
