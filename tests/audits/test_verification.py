# ruff: noqa: E501 - a table of statements, one per line
"""The stored ledger after somebody with every right on the tables was at it: caught, and named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from audits.actors import Command, SubjectRef, system_actor
from audits.canonical import digest_of
from audits.ids import uuid7
from audits.ledger import nodes
from audits.ledger.notary import Notary
from audits.ledger.note import SignerKey
from audits.ledger.record import record
from audits.ledger.tree import CompactTree
from audits.models import Event, Leaf
from audits.roles import acting_as_notary
from tests.audits.trail import VERB, codes, past_crivo, verified, workspace, write

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


def run_command(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("verify_ledger", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def log(notary: Notary) -> list[Event]:
    """Nine events of three checkpoints: five of one subject, two of another with texts, two of a second workspace."""
    one, two = SubjectRef("dataset", uuid7(), "one"), SubjectRef("dataset", uuid7(), "two")
    events = write(3, one)
    notary.run_pass()
    events += write(2, two, texts={"reason": "um bom motivo", "comment": "visto"})
    notary.run_pass()
    events += write(2, one) + write(2, None, workspace("elsewhere").id)
    notary.run_pass()
    return events


def test_an_untouched_log_is_verified(log: list[Event], published: Path) -> None:
    report = verified()
    assert (report.count, report.size, report.checkpoints, report.waiting) == (0, 9, 3, 0)
    assert report.root == nodes.stored_root(9)
    code, text = run_command()
    assert code == 0
    assert text.startswith("verified: 9 entries")


def test_events_still_waiting_are_no_tampering(log: list[Event]) -> None:
    write(2)
    report = verified()
    assert (report.count, report.waiting) == (0, 2)


TAMPERS: dict[str, tuple[str, set[str]]] = {
    # name: statement ({e} = id of the event at index 3), codes that must be among those found
    "edit the verb": ("UPDATE audits_event SET verb = 'model.registered' WHERE id = '{e}'", {"leaf_differs", "mac_differs"}),
    "edit the actor": ("UPDATE audits_event SET actor_id = workspace_id WHERE id = '{e}'", {"leaf_differs"}),
    "edit the time": ("UPDATE audits_event SET at = at + interval '1 microsecond' WHERE id = '{e}'", {"leaf_differs"}),
    "edit the outcome": ("UPDATE audits_event SET outcome = 'refused' WHERE id = '{e}'", {"leaf_differs"}),
    "edit the label": ("UPDATE audits_event SET subject_label = 'x' WHERE id = '{e}'", {"leaf_differs"}),
    "edit the detail": ("UPDATE audits_event SET detail = '{{\"a\": 1}}' WHERE id = '{e}'", {"leaf_differs"}),
    "edit the reason": ("UPDATE audits_event SET reason = '{{\"code\": \"x\", \"params\": {{}}}}' WHERE id = '{e}'", {"leaf_differs"}),
    "edit the request": ("UPDATE audits_event SET request_id = id WHERE id = '{e}'", {"leaf_differs"}),
    "edit a salt": ("UPDATE audits_event SET rest_salt = head_salt WHERE id = '{e}'", {"leaf_differs"}),
    "break a salt": ("UPDATE audits_event SET head_salt = 'zz' WHERE id = '{e}'", {"event_malformed"}),
    "edit the MAC": ("UPDATE audits_event SET mac = repeat('0', 64) WHERE id = '{e}'", {"mac_differs"}),
    "move it to another workspace": (
        "UPDATE audits_event SET workspace_id = (SELECT id FROM audits_workspace WHERE name = 'elsewhere') WHERE id = '{e}'",
        {"leaf_differs"},
    ),
    "renumber it": ("UPDATE audits_event SET subject_seq = 7 WHERE id = '{e}'", {"event_malformed", "seq_missing"}),
    "delete it": ("DELETE FROM audits_event WHERE id = '{e}'", {"event_missing", "seq_missing"}),
    "delete it with its leaf": (
        "WITH gone AS (DELETE FROM audits_leaf WHERE event_id = '{e}') DELETE FROM audits_event WHERE id = '{e}'",
        {"leaf_missing", "rolled_back", "seq_missing"},
    ),
    "delete the last with its leaf": (
        "WITH l AS (DELETE FROM audits_leaf WHERE index = 8 RETURNING event_id) "
        "DELETE FROM audits_event e USING l WHERE e.id = l.event_id",
        {"rolled_back", "head_differs"},
    ),
    "delete a leaf": ("DELETE FROM audits_leaf WHERE event_id = '{e}'", {"leaf_missing"}),
    "delete a node": ("DELETE FROM audits_node WHERE level = 1 AND index = 0", {"node_missing"}),
    "change a node": ("UPDATE audits_node SET hash = sha256('x') WHERE level = 2 AND index = 1", {"node_differs"}),
    "add a node": ("INSERT INTO audits_node VALUES (7, 0, sha256('x'))", {"node_extra"}),
    "change a leaf": ("UPDATE audits_leaf SET hash = sha256('x') WHERE event_id = '{e}'", {"leaf_differs", "root_differs"}),
    "swap two events": (
        "ALTER TABLE audits_leaf DROP CONSTRAINT audits_leaf_event_id_key;;"
        "UPDATE audits_leaf l SET event_id = o.event_id FROM audits_leaf o WHERE l.index IN (3, 4) AND o.index = 7 - l.index;;"
        "ALTER TABLE audits_leaf ADD CONSTRAINT audits_leaf_event_id_key UNIQUE (event_id)",
        {"leaf_differs"},
    ),
    "swap two entries": (
        "UPDATE audits_leaf SET index = 100 WHERE index = 3;;UPDATE audits_leaf SET index = 3 WHERE index = 4;;"
        "UPDATE audits_leaf SET index = 4 WHERE index = 100",
        {"node_differs", "root_differs"},
    ),
    "change a text": ("UPDATE audits_event_text SET sealed = sealed || 'x'::bytea WHERE event_id = '{e}' AND name = 'reason'", {"text_differs"}),
    "remove a text": ("DELETE FROM audits_event_text WHERE event_id = '{e}' AND name = 'reason'", {"text_missing"}),
    "add a text": (
        "INSERT INTO audits_event_text (event_id, name, person_id, sealed) "
        "SELECT event_id, 'praise', person_id, sealed FROM audits_event_text WHERE event_id = '{e}' AND name = 'reason'",
        {"text_differs"},
    ),
    "turn a head back": ("UPDATE audits_subject_head SET seq = seq - 1 WHERE seq > 1", {"head_differs"}),
    "forget a head": ("DELETE FROM audits_subject_head WHERE seq = 5", {"head_differs"}),
    "change a checkpoint": ("UPDATE audits_checkpoint SET note = replace(note, E'\\n5\\n', E'\\n4\\n') WHERE size = 5", {"signature"}),
    "change a checkpoint's root": ("UPDATE audits_checkpoint SET root = sha256('x') WHERE size = 5", {"checkpoint_differs"}),
    "put a genuine event aside": (
        "INSERT INTO audits_quarantine (event_id, code, found_at) VALUES ('{e}', 'mac_differs', now())",
        {"quarantine_false"},
    ),
    "change a workspace's salt": ("UPDATE audits_workspace SET salt = repeat('0', 32) WHERE name = 'default'", {"leaf_differs"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(TAMPERS))
def test_tampering_is_caught_and_named(log: list[Event], name: str) -> None:
    statement, wanted = TAMPERS[name]
    event = log[3]
    past_crivo(*statement.format(e=event.id).split(";;"))
    report = verified()
    assert wanted <= codes(report), report.findings
    code, text = run_command()
    assert code == 1
    assert text.startswith("TAMPERED")
    if "{e}" in statement:
        assert str(event.id) in text or "no leaf at 3" in text, "it says which event"


@pytest.mark.parametrize(
    "column", sorted(f.attname for f in Event._meta.concrete_fields if f.attname != "id")
)
def test_no_column_of_an_event_is_out_of_reach(log: list[Event], column: str) -> None:
    """Whatever column of a sequenced event is changed, the event is named."""
    field = Event._meta.get_field(column)
    other = {
        "UUIDField": f"'{uuid7()}'",
        "JSONField": '\'{"code": "x", "params": {}, "id": "p", "version": 1, "digest": "d"}\'',
        "DateTimeField": "at - interval '1 day'",
        "BigIntegerField": f"{column} + 40",
        "ForeignKey": "(SELECT id FROM audits_workspace WHERE name = 'elsewhere')",
    }.get(field.get_internal_type(), f"CASE {column} WHEN 'refused' THEN 'done' ELSE 'refused' END")
    if column == "evidence":
        other = '\'[{"kind": "x", "digest": "y"}]\''
    past_crivo(f"UPDATE audits_event SET {column} = {other} WHERE id = '{log[1].id}'")
    assert str(log[1].id) in {finding.event for finding in verified().findings}


def rebuild(order: list[int]) -> None:
    """The forger does it properly: leaves in another order, every node computed anew, every checkpoint removed."""
    leaves = list(Leaf.objects.order_by("index"))
    chosen = [leaves[index] for index in order]
    tree = CompactTree()
    grown = tree.extend(bytes(leaf.hash) for leaf in chosen)
    past_crivo("DELETE FROM audits_leaf", "DELETE FROM audits_node", "DELETE FROM audits_checkpoint")
    with acting_as_notary(), transaction.atomic():
        nodes.append([leaf.event_id for leaf in chosen], grown)


def test_a_log_rebuilt_in_another_order_is_caught_by_what_others_keep(
    log: list[Event], published: Path
) -> None:
    rebuild([0, 1, 2, 4, 3, 5, 6, 7, 8])
    report = verified()
    assert codes(report) == {"root_differs"}
    for path in published.rglob("*"):
        if path.is_file() and path.name != "vkey":
            kept = path.read_bytes() if path.name == "5" else None
            path.unlink()
            if kept is not None:
                (published.parent / "kept-by-an-auditor").write_bytes(kept)
    code, text = run_command()
    assert (code, "no published checkpoint" in text) == (0, True), "nothing is left here to tell by"
    code, text = run_command("--checkpoint", str(published.parent / "kept-by-an-auditor"))
    assert code == 1
    assert "root_differs" in text


def test_an_event_copied_to_a_new_number_of_its_subject(log: list[Event]) -> None:
    """A replay: genuine bytes under another id and number; only the MAC knows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audits_event")
        before = cursor.fetchone()[0]
    past_crivo(
        "INSERT INTO audits_event SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), "
        f"'subject_seq', 6, 'previous', (SELECT digest FROM audits_subject_head h WHERE h.subject_id = e.subject_id)))).* "
        f"FROM audits_event e WHERE id = '{log[6].id}'"
    )
    assert Event.objects.count() == before + 1
    assert {"mac_differs", "head_differs"} <= codes(verified())


def test_another_key_verifies_nothing(log: list[Event], settings: Any) -> None:
    foreign = SignerKey.generate(settings.CRIVO_ORIGIN)
    code, text = run_command("--vkey", str(foreign.vkey))
    assert code == 1
    assert text.count("[signature]") == 4  # three stored ones and the published one


@pytest.mark.parametrize("vkey", ["nonsense", "a+00000000+AAAA", "/no/such/file"])
def test_an_unreadable_key_decides_nothing(log: list[Event], vkey: str) -> None:
    with pytest.raises(CommandError) as error:
        run_command("--vkey", vkey)
    assert error.value.returncode == 2


def test_verifying_changes_nothing_and_needs_no_rights(log: list[Event]) -> None:
    before = digest_of([str(row) for row in Event.objects.order_by("id").values_list()])
    verified()
    assert before == digest_of([str(row) for row in Event.objects.order_by("id").values_list()])


@pytest.mark.parametrize(
    "detail",
    [
        {"ratio": 1e22, "tiny": 5e-324, "negative": -0.0, "whole": 3.0, "large": 2**53 - 1},
        {"text": "naïve ✓ 𝄞", "nested": [{"b": None, "a": True}], "": ""},
    ],
)  # fmt: skip
def test_numbers_and_texts_survive_the_database(notary: Notary, detail: dict[str, Any]) -> None:
    """What jsonb gives back must hash like what went in, or a genuine event would be quarantined."""
    with transaction.atomic():
        ref = SubjectRef("dataset", uuid7(), "p")
        record(Command(system_actor("shell", workspace().id)), verb=VERB, subject=ref, detail=detail)
    assert (notary.run_pass().sequenced, verified().count) == (1, 0)
