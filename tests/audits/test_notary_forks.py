"""False events and forked logs: the first never stop the notary, the second always do."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from audits.ids import uuid7
from audits.ledger.notary import ForkError, Notary
from audits.ledger.note import Checkpoint, SignerKey, sign_checkpoint
from audits.ledger.signing import checkpoint_key
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, Leaf, Quarantine
from tests.audits.trail import (
    codes,
    past_crivo,
    sequenced,
    verified,
    write,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])

COPY = """
INSERT INTO audits_event (id, at, workspace_id, actor_kind, actor_id, on_behalf_of, verb, subject_kind, subject_id,
  subject_label, subject_digest, subject_seq, outcome, reason, texts, policy, evidence, before, after, detail,
  request_id, correlation_id, previous, subject_salt, head_salt, rest_salt, mac)
SELECT {id}, at, {workspace}, actor_kind, actor_id, on_behalf_of, {verb}, subject_kind, {subject},
  subject_label, subject_digest, {seq}, outcome, reason, texts, policy, evidence, before, after, detail, request_id,
  correlation_id, {previous}, {salt}, head_salt, rest_salt, mac FROM audits_event WHERE id = '{source}'
"""


def insert_copy(source: UUID, **changes: str) -> UUID:
    new = uuid7()
    columns = {
        "id": f"'{new}'",
        "workspace": "workspace_id",
        "verb": "verb",
        "subject": f"'{uuid7()}'",
        "seq": "subject_seq",
        "previous": "previous",
        "salt": "subject_salt",
    }
    past_crivo(COPY.format(source=source, **{**columns, **changes}))
    return new


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "mac_differs"),
        ({"verb": "'promotion.granted'"}, "mac_differs"),
        ({"salt": "'zz'"}, "malformed"),
        ({"salt": "''"}, "malformed"),
        ({"seq": "5"}, "malformed"),  # number 5 without a previous event
        ({"verb": "'No Verb'"}, "malformed"),
    ],
)
def test_an_inserted_event_is_quarantined(notary: Notary, changes: dict[str, str], code: str) -> None:
    genuine = write(2)
    false = insert_copy(genuine[0].id, **changes)
    after = write(1)
    result = notary.run_pass()
    assert (result.sequenced, result.quarantined, result.more) == (3, 1, True)
    assert sequenced() == [event.id for event in [*genuine, *after]]
    row = Quarantine.objects.get()
    assert (row.event_id, row.code) == (false, code)
    assert (notary.run_pass().sequenced, notary.run_pass().sequenced) == (1, 0)
    about = Event.objects.get(verb="event.quarantined")
    assert (about.subject_kind, about.subject_id, about.detail["code"]) == ("event", false, code)
    assert sequenced()[-1] == about.id, "what tells of it is itself in the log"
    report = verified()
    assert [(finding.code, finding.event) for finding in report.findings if finding.event == str(false)][:1]


def test_an_event_changed_before_it_was_sequenced(notary: Notary) -> None:
    events = write(3)
    past_crivo("UPDATE audits_event SET outcome = 'refused' WHERE id = %s", parameters=(events[1].id,))
    assert notary.run_pass().quarantined == 1
    assert sequenced() == [events[0].id, events[2].id]


def test_not_even_an_event_of_no_workspace_stops_the_log(notary: Notary) -> None:
    event = write()[0]
    false = insert_copy(event.id, workspace=f"'{uuid7()}'::uuid")
    for _ in range(3):
        notary.run_pass()
    assert sequenced() == [event.id]
    assert not Quarantine.objects.exists(), "it cannot be written about in a workspace that is none"
    write(2)
    assert notary.run_pass().sequenced == 2
    assert [finding.event for finding in verified().findings if finding.code == "mac_differs"] == [str(false)]


# --- forks -------------------------------------------------------------------------------------------------
def state_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FORKS = {
    "an older backup was restored": (
        "DELETE FROM audits_checkpoint WHERE size = 5",
        "DELETE FROM audits_leaf WHERE index >= 3",
    ),
    "the last leaf was removed": ("DELETE FROM audits_leaf WHERE index = 4",),
    "a leaf was changed": ("UPDATE audits_leaf SET hash = sha256('x') WHERE index = 4",),
    "a node was changed": ("UPDATE audits_node SET hash = sha256('x') WHERE level = 2",),
    "a node was removed": ("DELETE FROM audits_node WHERE level = 2",),
    "everything was removed": (
        "DELETE FROM audits_checkpoint",
        "DELETE FROM audits_leaf",
        "DELETE FROM audits_node",
    ),
    "a checkpoint was invented": (
        "INSERT INTO audits_checkpoint SELECT 900, root, note, now() FROM audits_checkpoint WHERE size = 5",
        "UPDATE audits_checkpoint SET note = replace(note, E'\\n5\\n', E'\\n900\\n') WHERE size = 900",
    ),
}


@pytest.mark.parametrize("kind", list(FORKS))
def test_a_notary_that_starts_on_a_fork_signs_nothing(notary: Notary, published: Path, kind: str) -> None:
    write(5)
    notary.run_pass()
    notary.release()
    past_crivo(*FORKS[kind])
    write(2)
    before, leaves = state_of(published), Leaf.objects.count()
    with pytest.raises(CommandError, match="signs nothing") as stopped:
        call_command("notary", once=True)
    assert stopped.value.returncode == 1
    assert "verify_ledger" in str(stopped.value)
    if kind in ("an older backup was restored", "the last leaf was removed"):
        assert "over 5 entries was published, but the database holds only" in str(stopped.value)
    assert state_of(published) == before
    assert Leaf.objects.count() == leaves
    with pytest.raises(ForkError):
        notary.acquire()
    assert not verified().verified


@pytest.mark.parametrize("kind", [kind for kind in FORKS if kind != "a checkpoint was invented"])
def test_a_notary_at_work_notices_a_fork(notary: Notary, published: Path, kind: str) -> None:
    write(5)
    notary.run_pass()
    past_crivo(*FORKS[kind])
    write(2)
    before = state_of(published)
    with pytest.raises(ForkError):
        notary.run_pass()
    assert state_of(published) == before


def test_a_checkpoint_invented_beside_a_working_notary_stops_nothing(notary: Notary, published: Path) -> None:
    write(5)
    notary.run_pass()
    past_crivo(*FORKS["a checkpoint was invented"])
    write(2)
    assert notary.run_pass().published == 7
    assert codes(verified()) == {"signature", "published_differs"}


@pytest.mark.parametrize("size", [3, 4])
def test_what_another_published_under_our_name_is_never_overwritten(
    notary: Notary, published: Path, size: int
) -> None:
    """Somebody with our key, another history: of the same size, and of the size we would come to."""
    write(3)
    notary.run_pass()
    signer = checkpoint_key()
    other = sign_checkpoint(Checkpoint(django_settings.CRIVO_ORIGIN, size, b"x" * 32), signer)
    (published / "checkpoints" / str(size)).write_bytes(other)
    if size == 3:
        (published / "checkpoint").write_bytes(other)
    write(1)
    with pytest.raises(ForkError):
        notary.run_pass()
    assert (published / "checkpoints" / str(size)).read_bytes() == other
    assert not PublishedCheckpoint.objects.filter(size=4).exists()


def test_a_folder_signed_by_another_key_is_refused(notary: Notary, published: Path) -> None:
    write(2)
    notary.run_pass()
    notary.release()
    foreign = SignerKey.generate(django_settings.CRIVO_ORIGIN)
    with pytest.raises(ForkError, match="signed by its key"):
        Notary(foreign).acquire()


def test_a_lost_folder_is_published_again_from_the_database(notary: Notary, published: Path) -> None:
    write(2)
    notary.run_pass()
    note = (published / "checkpoint").read_bytes()
    notary.release()
    for path in [published / "checkpoint", published / "checkpoints" / "2"]:
        path.unlink()
    assert notary.acquire()
    assert (published / "checkpoint").read_bytes() == note
    write(1)
    assert notary.run_pass().published == 3


def test_a_database_of_another_log_is_refused(notary: Notary, settings: Any) -> None:
    write(1)
    past_crivo("UPDATE audits_log_state SET origin = 'elsewhere.example/log'")
    with pytest.raises(ForkError, match=r"elsewhere\.example/log"):
        notary.run_pass()
