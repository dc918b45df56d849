"""What people wrote is sealed under a key of theirs; without the key it is gone, and every proof still holds."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from audits import sealing
from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.keys import sealing_key
from audits.ledger.signing import checkpoint_key
from audits.ledger.verification import verify_ledger
from audits.models import Event, EventText, LegalHold, PersonalKey, SearchText
from audits.sealing import text_of
from audits.services.erasure import erase_person, lift_hold, place_hold
from governance.models import User
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = "ready for the next step"


def requested(cast: Cast) -> Event:
    study.ask(cast, study.study(cast), "development", name="ana")
    study.sequence()
    return Event.objects.get(verb="promotion.requested")


def everything_stored() -> str:
    """Every table as text, as the owner sees it."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t")
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_a_text_is_sealed_with_its_salt(committed_cast: Cast) -> None:
    event = requested(committed_cast)
    row = EventText.objects.get(event=event)
    ana = committed_cast.people["ana"].id
    assert (row.name, row.person_id) == ("reason", ana)
    assert WORDS.encode() not in bytes(row.sealed)
    opened = sealing.opened([row])[event.id, "reason"]
    assert (opened.text, opened.commitment) == (WORDS, event.texts["reason"])
    assert len(bytes(row.sealed)) == 12 + 16 + len(WORDS.encode()) + 16  # nonce, salt, text, tag
    assert SearchText.objects.get(event=event).text == WORDS
    key = PersonalKey.objects.get(person_id=ana)
    assert len(bytes(key.wrapped)) == 12 + 32 + 16
    assert sealing_key() not in bytes(key.wrapped)


@pytest.mark.parametrize("changed", ["event", "name", "byte", "person"])
def test_a_seal_opens_for_its_own_place_only(committed_cast: Cast, changed: str) -> None:
    row = EventText.objects.get(event=requested(committed_cast))
    if changed == "event":
        row.event_id = Event.objects.exclude(id=row.event_id)[0].id
    elif changed == "name":
        row.name = "comment"
    elif changed == "person":
        with transaction.atomic():
            sealing.key_for(committed_cast.people["bia"].id)
        row.person_id = committed_cast.people["bia"].id
    else:
        sealed = bytearray(bytes(row.sealed))
        sealed[20] ^= 1
        row.sealed = bytes(sealed)
    damaged: set[Any] = set()
    assert sealing.opened([row], damaged) == {}
    assert damaged == {(row.event_id, row.name)}
    with pytest.raises(ValueError, match="does not open"):
        sealing.opened([row])


def test_erasing_makes_it_unreadable_and_leaves_the_proofs(committed_cast: Cast) -> None:
    event = requested(committed_cast)
    person = committed_cast.people["ana"]
    User.objects.filter(id=person.id).update(last_name="Souza", email="ana@example.org")
    before = verify_ledger(checkpoint_key().vkey)
    assert (before.verified, before.erased) == (True, 0)
    assert "Souza" in everything_stored()
    assert WORDS in everything_stored()
    erase_person(command=study.shell(committed_cast), person=person.id, reason="asked by letter of 3 May")
    assert text_of(event.id, "reason") == ""
    assert not SearchText.objects.filter(person_id=person.id).exists()
    left = everything_stored()
    for word in (WORDS, "Souza", "ana@example.org"):
        assert word not in left
    person.refresh_from_db()
    assert (person.is_active, person.get_full_name(), person.email) == (False, "", "")
    study.sequence()
    after = verify_ledger(checkpoint_key().vkey)
    assert (after.verified, after.erased) == (True, 1), after.findings
    told = Event.objects.get(verb="person.erased")
    assert (told.subject_id, told.detail) == (person.id, {"texts": 1, "account": True})
    assert text_of(told.id, "reason") == "asked by letter of 3 May"


def test_a_legal_hold_forbids_it(committed_cast: Cast) -> None:
    event = requested(committed_cast)
    person = committed_cast.people["ana"].id
    risk, shell = committed_cast.command("rita"), study.shell(committed_cast)
    first = place_hold(command=risk, person=person, reason="case 12").value
    second = place_hold(command=shell, person=person, reason="case 13").value
    lift_hold(command=risk, hold_id=first.id, reason="settled")
    with unchanged(refusals=1), pytest.raises(Conflict) as refused:
        erase_person(command=shell, person=person, reason="asked")
    assert refused.value.code == "erasure_on_hold"
    assert text_of(event.id, "reason") == WORDS
    with unchanged(refusals=1), pytest.raises(Conflict):
        lift_hold(command=risk, hold_id=first.id, reason="again")
    lift_hold(command=risk, hold_id=second.id, reason="settled")
    erase_person(command=shell, person=person, reason="asked")
    assert text_of(event.id, "reason") == ""
    holds = Event.objects.filter(verb__startswith="hold.", outcome="done").order_by("at")
    assert [row.verb for row in holds] == ["hold.placed", "hold.placed", "hold.lifted", "hold.lifted"]
    assert {row.event_id for row in LegalHold.objects.all()} < {row.id for row in holds}


def test_who_may_not(committed_cast: Cast) -> None:
    requested(committed_cast)
    person = committed_cast.people["ana"].id
    for name in ("ana", "bruno", "clara", "rita"):
        with unchanged(refusals=1), pytest.raises(Forbidden):
            erase_person(command=committed_cast.command(name), person=person, reason="asked")
    with unchanged(refusals=1), pytest.raises(Forbidden):
        place_hold(command=committed_cast.command("bia"), person=person, reason="case")
    with unchanged(refusals=1), pytest.raises(Unprocessable):
        erase_person(command=study.shell(committed_cast), person=person, reason=" ")
    with unchanged(refusals=0), pytest.raises(NotFound):
        erase_person(command=study.shell(committed_cast), person=committed_cast.workspace.id, reason="nobody")


def test_a_key_that_is_lost_without_an_erasure_is_told(committed_cast: Cast) -> None:
    event = requested(committed_cast)
    PersonalKey.objects.all().delete()  # past the service
    report = verify_ledger(checkpoint_key().vkey)
    assert {(finding.code, finding.event) for finding in report.findings} == {("text_lost", str(event.id))}


def test_a_sealed_text_that_was_changed_is_told(committed_cast: Cast) -> None:
    event = requested(committed_cast)
    with connections["migrator"].cursor() as cursor:
        cursor.execute("ALTER TABLE audits_event_text DISABLE TRIGGER append_only_row")
        cursor.execute("UPDATE audits_event_text SET sealed = overlay(sealed placing '\\x00'::bytea from 15)")
        cursor.execute("ALTER TABLE audits_event_text ENABLE ALWAYS TRIGGER append_only_row")
    report = verify_ledger(checkpoint_key().vkey)
    assert [(finding.code, finding.event) for finding in report.findings] == [("text_differs", str(event.id))]


def test_an_erasure_waits_for_who_is_writing(committed_cast: Cast) -> None:
    """A text written at the same time is erased with the others, or sealed under a new key: never left readable by an
    old one that somebody still holds."""
    requested(committed_cast)
    person = committed_cast.people["ana"].id
    done = threading.Event()

    def erase() -> None:
        try:
            erase_person(command=study.shell(committed_cast), person=person, reason="asked")
            done.set()
        finally:
            connection.close()

    with transaction.atomic():
        sealing.key_for(person)
        thread = threading.Thread(target=erase)
        thread.start()
        assert not done.wait(0.3)
    thread.join(10)
    assert done.is_set()
    assert not PersonalKey.objects.filter(person_id=person).exists()


def test_the_command(committed_cast: Cast) -> None:
    requested(committed_cast)
    out = io.StringIO()
    call_command("erase_person", "ana", "--hold", "--reason", "case 12", stdout=out)
    with pytest.raises(CommandError, match="legal hold"):
        call_command("erase_person", "ana", "--reason", "asked", stdout=out)
    call_command("erase_person", "ana", "--lift", "--reason", "settled", stdout=out)
    call_command("erase_person", "ana", "--reason", "asked", stdout=out)
    assert "erased: 1 texts of" in out.getvalue()
    with pytest.raises(CommandError, match="nobody called"):
        call_command("erase_person", "ana", "--reason", "asked", stdout=out)
