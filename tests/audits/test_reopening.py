"""After a fork: an incident, a new origin, a first leaf that carries what was published before."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audits.ledger.beside import ASIDE, rows_digest
from audits.ledger.inclusion import published_at
from audits.ledger.notary import ForkError, Notary
from audits.ledger.note import verify_checkpoint
from audits.ledger.signing import checkpoint_key, make_keys
from audits.ledger.verification import verify_ledger
from audits.models import EarlierCheckpoint, EarlierLeaf, Event, Leaf, LogState
from audits.sealing import text_of
from governance import gate
from tests import study
from tests.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True)]
NEW = "crivo.example/audit-2"


def promoted(cast: Cast) -> Any:
    version = study.study(cast)
    study.finish_checks(study.ask(cast, version, "development"))
    study.sequence()
    return version


def restore_yesterdays_backup(entries: int) -> None:
    """The newest leaves, checkpoints and events are not there any more."""
    with connections["migrator"].cursor() as cursor:
        for table in ("audits_leaf", "audits_node", "audits_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only_row")
        cursor.execute("DELETE FROM audits_leaf WHERE index >= %s", [entries])
        cursor.execute("DELETE FROM audits_node n WHERE (n.index + 1) << n.level > %s", [entries])
        cursor.execute("DELETE FROM audits_checkpoint WHERE size > %s", [entries])
        for table in ("audits_leaf", "audits_node", "audits_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_row")


def new_key(settings: Any, tmp_path: Path) -> None:
    settings.CRIVO_ORIGIN = NEW
    settings.CRIVO_KEYS = str(tmp_path / "new-keys")
    make_keys()


def test_going_on_under_a_new_origin(
    committed_cast: Cast, settings: Any, published: Path, tmp_path: Path
) -> None:
    version = promoted(committed_cast)
    environment = "development"
    assert gate.ask(committed_cast.workspace.id, version.artifact_digest, environment).allowed
    old_vkey = checkpoint_key().vkey
    note = (published / "checkpoint").read_bytes()
    old = verify_checkpoint(note, old_vkey)
    events = set(Event.objects.values_list("id", flat=True))
    effective = published_at(events)
    with pytest.raises(CommandError, match="Set CRIVO_ORIGIN"):
        call_command("reopen_log", "--incident", "INC-7")
    restore_yesterdays_backup(old.size - 3)
    with pytest.raises(ForkError):
        study.sequence()
    new_key(settings, tmp_path)
    holding = Notary(checkpoint_key())
    out = io.StringIO()
    call_command("reopen_log", "--incident", "INC-7: a backup was restored", stdout=out)
    assert f"{old.size:,} entries were published, {old.size - 3:,} are in the database" in out.getvalue()
    del holding
    first = Leaf.objects.get(index=0).event
    moved = first.detail.pop("moved")
    assert moved == rows_digest(ASIDE, old.origin), "what was moved aside is bound by the entry"
    assert (first.verb, first.detail) == (
        "log.reopened",
        {"earlier": old.origin, "checkpoint": note.decode(), "held": old.size - 3},
    )
    assert text_of(first.id, "incident") == "INC-7: a backup was restored"
    assert LogState.objects.get().origin == NEW
    study.sequence()
    vkey = checkpoint_key().vkey
    report = verify_ledger(vkey, (published / "checkpoint").read_bytes())
    assert (report.verified, report.size) == (True, len(events) + 1), report.findings
    assert set(Leaf.objects.exclude(index=0).values_list("event_id", flat=True)) == events
    # What the earlier log had published is where it was, and was effective since then.
    assert (EarlierLeaf.objects.count(), EarlierCheckpoint.objects.count() > 0) == (old.size - 3, True)
    kept = set(EarlierLeaf.objects.filter(published_at__isnull=False).values_list("event_id", flat=True))
    now = published_at(events)
    assert {event: now[event] for event in kept} == {event: effective[event] for event in kept}
    assert gate.ask(committed_cast.workspace.id, version.artifact_digest, environment).allowed
    folder = published / "earlier" / "crivo.local_audit"
    assert (folder / "checkpoint").read_bytes() == note
    assert verify_checkpoint((published / "checkpoint").read_bytes(), vkey).size == report.size


def test_not_while_a_notary_works(committed_cast: Cast, settings: Any, tmp_path: Path) -> None:
    promoted(committed_cast)
    import threading

    from django.db import connection

    held, done = threading.Event(), threading.Event()

    def work() -> None:
        notary = Notary(checkpoint_key())
        assert notary.acquire()
        held.set()
        done.wait(20)
        notary.release()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(10)
    try:
        new_key(settings, tmp_path)
        leaves = Leaf.objects.count()
        with pytest.raises(CommandError, match="A notary is at work"):
            call_command("reopen_log", "--incident", "INC-7")
        assert Leaf.objects.count() == leaves
    finally:
        done.set()
        thread.join(10)
    call_command("reopen_log", "--incident", "INC-7", stdout=io.StringIO())  # the same event is used
    assert Event.objects.filter(verb="log.reopened").count() == 1
    study.sequence()
    assert verify_ledger(checkpoint_key().vkey).verified


def test_a_false_event_does_not_come_along(committed_cast: Cast, settings: Any, tmp_path: Path) -> None:
    """What was changed in the database while the log stood still is quarantined, not taken over."""
    promoted(committed_cast)
    changed = Event.objects.filter(verb="model.registered").get()
    with connections["migrator"].cursor() as cursor:
        cursor.execute("ALTER TABLE audits_event DISABLE TRIGGER append_only_row")
        cursor.execute("UPDATE audits_event SET actor_id = gen_random_uuid() WHERE id = %s", [changed.id])
        cursor.execute("ALTER TABLE audits_event ENABLE ALWAYS TRIGGER append_only_row")
    new_key(settings, tmp_path)
    call_command("reopen_log", "--incident", "INC-8", stdout=io.StringIO())
    study.sequence()
    study.sequence()
    assert Event.objects.filter(verb="event.quarantined", subject_id=changed.id).count() == 1
    assert changed.id not in set(Leaf.objects.values_list("event_id", flat=True))
    assert changed.id not in published_at([changed.id])
