"""Every column of every table of the ledger, changed by somebody who owns the database: found, with what and where.

The columns are asked of the database: one that is added is either found when it changes, or stands in EXEMPT with why
it need not be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DataError, IntegrityError, connections

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.ledger.signing import make_keys
from audits.ledger.verification import LedgerReport
from audits.models import Checkpoint, EventText, OutOfBandChange, Quarantine
from audits.services.erasure import erase_person, lift_hold, place_hold
from registry.models import Model
from tests import study
from tests.audits.attacker import BESIDE, TABLES, Attacker, Tamper, mutated, owner_of_everything
from tests.audits.test_notary_forks import insert_copy
from tests.audits.trail import past_crivo, verified, write
from tests.cast import Cast

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "migrator"]),
    pytest.mark.past_the_door,
]
MODULES = {f"audits.models.{name}" for name in ("earlier", "ledger", "net", "personal", "workspace")}
# (What was pruned is attacked in test_pruning.)
# Nothing that is proved, shown or decided rests on these.
EXEMPT = {
    ("audits_event", "xid"): "read in its own transaction, and by the notary until the event has its leaf",
    ("audits_event_text", "id"): "a row number",
    ("audits_search_text", "id"): "a row number",
    ("audits_quarantine", "id"): "a row number",
    ("audits_quarantine", "found_at"): "the event that tells of it has its own time",
    ("audits_personal_key", "created_at"): "bookkeeping; locks are taken on it",
    ("audits_workspace", "created_at"): "bookkeeping; the event of its making has its own time",
    ("audits_legal_hold", "created_at"): "bookkeeping; the event that placed it has its own time",
    ("audits_log_state", "watermark"): "every start looks everywhere, and what waits is counted",
    ("audits_earlier_leaf", "id"): "a row number",
    ("audits_earlier_checkpoint", "id"): "a row number",
    ("out_of_band_change", "xid"): "groups what is not told of yet; afterwards nobody reads it",
}  # fmt: skip
TRIES = 4


def tables() -> set[str]:
    return {
        model._meta.db_table
        for model in apps.get_app_config("audits").get_models()
        if model.__module__ in MODULES
    }


def columns() -> list[tuple[str, str]]:
    with connections["migrator"].cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND table_name = ANY(%s) ORDER BY 1, ordinal_position",
            [sorted(tables())],
        )
        return cursor.fetchall()


@pytest.fixture
def everything(committed_cast: Cast, published: Path, settings: Any) -> Iterator[Cast]:
    """At least a row in every table: texts, a hold that was lifted, a false event, a change past the door, and an
    earlier log that ended after an incident."""
    shell, person = study.shell(committed_cast), committed_cast.people["ana"].id
    held = place_hold(command=shell, person=person, reason="case 12").value
    lift_hold(command=shell, hold_id=held.id, reason="settled")
    place_hold(command=shell, person=person, reason="case 13")
    about = SubjectRef("dataset", uuid7(), "patients", "sha256:" + "0" * 64)
    for _ in range(3):
        write(1, about, texts={"reason": "porque sim"}, detail={"a": 1}, before="sha256:" + "1" * 64)
        call_command("notary", once=True)
    insert_copy(write(1)[0].id)
    Model.objects.create(workspace=committed_cast.workspace, name="past-the-door", owner_id=uuid7())
    call_command("notary", once=True)
    settings.CRIVO_ORIGIN = "crivo.example/audit-2"
    key = Path(settings.CRIVO_KEYS) / "checkpoint.key"
    key.rename(key.with_name("kept"))
    try:
        make_keys()
        call_command("reopen_log", incident="INC-7: tried")
        for _ in range(3):
            write(2, about, texts={"reason": "e mais"})
            call_command("notary", once=True)
        yield committed_cast
    finally:
        key.with_name("kept").rename(key)


def said(report: LedgerReport, before: set[str]) -> str:
    return "\n".join(line for line in map(str, report.findings) if line not in before)


def attempts(attacker: Attacker, table: str, column: str) -> Iterator[Tamper]:
    """Changes of this column, in rows far apart, as long as the database takes them."""
    rows = attacker.rows[table]
    done = 0
    for number in range(40):
        row = rows[number * 7 % len(rows)]
        value = row[column]
        wanted = mutated(attacker.random, value, column)
        if wanted is None and value is None:
            wanted = uuid7()
        if wanted == value and type(wanted) is type(value):
            continue
        try:
            attacker.change(table, row, column, wanted)
        except (IntegrityError, DataError):
            attacker.undo()
            continue
        yield Tamper(f"{table}.{column}: {value!r} → {wanted!r}"[:300], attacker.places(table, row))
        attacker.undo()
        done += 1
        if done == TRIES:
            return
    assert done, f"{table}.{column} was never changed"


def test_every_column_is_bound_or_exempt(everything: Cast) -> None:
    assert set(TABLES) | set(BESIDE) == tables(), "a new table of the ledger is attacked, too"
    known = columns()
    assert set(EXEMPT) <= set(known)
    assert Quarantine.objects.exists()
    assert OutOfBandChange.objects.exclude(alarm_event=None).exists()
    usual = set(map(str, verified().findings))
    assert {line.rpartition("[")[2] for line in usual} == {"quarantined]", "head_differs]"}, usual
    missed = []
    with owner_of_everything():
        attacker = Attacker(1, (*TABLES, *BESIDE))
        empty = [table for table in (*TABLES, *BESIDE) if not attacker.rows[table]]
        assert empty == []
        for table, column in known:
            if (table, column) in EXEMPT:
                continue
            for tamper in attempts(attacker, table, column):
                told = said(verified(), usual)
                if not any(place in told for place in tamper.where):
                    missed.append(f"{tamper.what} {tamper.where}: {told[:200] or 'not found'}")
        assert set(map(str, verified().findings)) == usual, "what was undone leaves no alarm"
    connections["migrator"].close()
    sys.stdout.write(f"{len(known) - len(EXEMPT)} columns of {len(tables())} tables\n")
    assert "\n".join(missed) == ""


# --- one by one, as somebody would have a reason to -----------------------------------------------------------


def test_a_text_is_not_hidden_behind_a_person_who_was_erased(committed_cast: Cast, published: Path) -> None:
    """Put down to an erased person it could no longer be read, and would look as if that were in order."""
    shell = study.shell(committed_cast)
    gone = committed_cast.people["davi"].id
    write(1, texts={"reason": "the words"})
    erase_person(command=shell, person=gone, reason="asked")
    call_command("notary", once=True)
    assert verified().findings == []
    text = EventText.objects.get(event__verb="dataset.registered", name="reason", person_id__isnull=False)
    past_crivo("UPDATE audits_event_text SET person_id = %s WHERE id = %s", parameters=(gone, text.id))
    assert [
        (finding.code, finding.event) for finding in verified().findings if finding.code == "text_owner"
    ] == [("text_owner", str(text.event_id))]


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE audits_checkpoint SET published_at = published_at - interval '1 day' WHERE size = {size}",
        "UPDATE audits_checkpoint SET statement = '' WHERE size = {size}",
        "DELETE FROM audits_checkpoint WHERE size = {size}",
        "UPDATE audits_checkpoint c SET statement = o.statement, published_at = o.published_at "
        "FROM audits_checkpoint o WHERE c.size = {size} AND o.size < c.size",
    ],
)
@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "middle", "newest"])
def test_since_when_a_permission_counts_cannot_be_moved(
    transactional_db: None, published: Path, tamper: str, place: int
) -> None:
    for _ in range(3):
        write(2)
        call_command("notary", once=True)
    sizes = list(Checkpoint.objects.order_by("size").values_list("size", flat=True))
    if ("DELETE" in tamper and place == -1) or ("o.size" in tamper and place == 0):
        pytest.skip("the newest comes back with a later time at the next pass; the first has none before it")
    past_crivo(tamper.format(size=sizes[place]))
    assert "published_differs" in {finding.code for finding in verified().findings}


def test_times_of_before_they_were_signed_are_no_alarm(transactional_db: None, published: Path) -> None:
    """A log that began without statements: its first rows have none, and nobody can make later ones look like them."""
    for _ in range(3):
        write(2)
        call_command("notary", once=True)
    past_crivo("UPDATE audits_checkpoint SET statement = ''")
    assert verified().findings == []
    write(2)
    call_command("notary", once=True)
    assert verified().findings == []
    newest = Checkpoint.objects.order_by("-size").first()
    assert newest is not None
    assert newest.statement
    second = Checkpoint.objects.order_by("-size")[1].size
    write(2)
    call_command("notary", once=True)
    past_crivo("UPDATE audits_checkpoint SET statement = '' WHERE size = %s", parameters=(newest.size,))
    assert {finding.code for finding in verified().findings} == {"published_differs"}
    assert second < newest.size
