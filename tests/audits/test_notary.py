"""The notary against concurrent writers, crashes, false events, forks and a second notary; on a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.ledger import nodes, record
from audits.ledger.entry import body_of
from audits.ledger.inclusion import published_at
from audits.ledger.notary import ForkError, Notary, NotTheNotaryError
from audits.ledger.note import Checkpoint, SignerKey, sign_checkpoint, verify_checkpoint
from audits.ledger.publication import Publication
from audits.ledger.signing import checkpoint_key
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, Leaf, LogState, Node, Quarantine
from tests.audits.trail import codes, in_thread, past_crivo, sequenced, verified, workspace, write

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
ROOT = Path(__file__).resolve().parents[2]


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as written there."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def entries() -> list[bytes]:
    leaves = Leaf.objects.order_by("index").select_related("event__workspace")
    return [body_of(leaf.event, leaf.event.workspace.salt).envelope for leaf in leaves]


def signed(path: Path) -> Checkpoint:
    return verify_checkpoint(path.read_bytes(), checkpoint_key().vkey)


def everything_is_in_order(count: int) -> None:
    """Every event is a leaf exactly once, all of it is published, and every checkpoint ever signed still holds."""
    assert sorted(sequenced()) == sorted(Event.objects.values_list("id", flat=True))
    assert Leaf.objects.count() == count
    folder = Path(django_settings.CRIVO_PUBLISH)
    assert signed(folder / "checkpoint").size == count
    sizes = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())
    assert sizes == list(PublishedCheckpoint.objects.order_by("size").values_list("size", flat=True))
    for size in sizes:
        assert signed(folder / "checkpoints" / str(size)).root == nodes.stored_root(size)
    report = verified()
    assert report.verified, report.findings


def test_a_burst_makes_one_checkpoint(notary: Notary, published: Path) -> None:
    written = write(7)
    result = notary.run_pass()
    assert (result.sequenced, result.quarantined, result.size, result.published) == (7, 0, 7, 7)
    assert sequenced() == [event.id for event in written]
    checkpoint = signed(published / "checkpoint")
    assert checkpoint == Checkpoint(django_settings.CRIVO_ORIGIN, 7, naive_root(entries()))
    assert [path.name for path in (published / "checkpoints").iterdir()] == ["7"]
    row = PublishedCheckpoint.objects.get()
    assert (row.size, bytes(row.root), row.note.encode()) == (
        7,
        checkpoint.root,
        (published / "checkpoint").read_bytes(),
    )
    assert published_at([written[0].id]) == {written[0].id: row.published_at}
    assert sorted(Node.objects.values_list("level", "index")) == [(1, 0), (1, 1), (1, 2), (2, 0)]


def test_a_pass_without_news_changes_nothing(notary: Notary, published: Path) -> None:
    write(3)
    notary.run_pass()
    before = {path: path.stat().st_mtime_ns for path in published.rglob("*") if path.is_file()}
    result = notary.run_pass()
    assert (result.sequenced, result.published) == (0, 3)
    assert before == {path: path.stat().st_mtime_ns for path in published.rglob("*") if path.is_file()}
    assert PublishedCheckpoint.objects.count() == 1


def test_no_event_no_checkpoint(notary: Notary, published: Path) -> None:
    assert notary.run_pass().published == 0
    assert not (published / "checkpoint").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 33])
def test_the_tree_is_the_one_of_rfc_6962(notary: Notary, published: Path, count: int) -> None:
    for _ in range(count // 2):
        write()
        notary.run_pass()
    write(count - count // 2)
    notary.run_pass()
    assert signed(published / "checkpoint").root == naive_root(entries())
    everything_is_in_order(count)


def test_a_batch_is_bounded_and_leaves_nothing_behind(transactional_db: None, published: Path) -> None:
    notary = Notary(checkpoint_key(), batch=4)
    write(10)
    assert notary.acquire()
    results = [notary.run_pass() for _ in range(3)]
    notary.release()
    assert [(result.sequenced, result.more) for result in results] == [(4, True), (4, True), (2, False)]
    everything_is_in_order(10)


def test_a_burst_larger_than_a_batch_on_a_notary_long_at_work(
    transactional_db: None, published: Path
) -> None:
    """What a full batch leaves out must stay inside the window of the next pass."""
    notary = Notary(checkpoint_key(), batch=4)
    assert notary.acquire()
    write(1)
    assert notary.run_pass().sequenced == 1
    write(10)
    assert [notary.run_pass().sequenced for _ in range(4)] == [4, 4, 2, 0]
    notary.release()
    everything_is_in_order(11)


def test_a_transaction_older_than_the_pass_loses_nothing(notary: Notary) -> None:
    """Its xid is smaller than that of events sequenced long before it commits."""
    opened, written, go_on, commit = (threading.Event() for _ in range(4))
    late: list[UUID] = []

    def slow() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()")
            opened.set()
            go_on.wait(20)
            late.append(write()[0].id)
            written.set()
            commit.wait(20)

    thread = in_thread(slow)
    try:
        assert opened.wait(20)
        write(3)
        assert notary.run_pass().sequenced == 3
        go_on.set()
        assert written.wait(20)
        write(2)
        assert notary.run_pass().sequenced == 2
        assert not Event.objects.filter(id=late[0]).exists()
    finally:
        go_on.set()
        commit.set()
        thread.join()
    assert notary.run_pass().sequenced == 1
    assert sequenced()[-1] == late[0]
    everything_is_in_order(6)


def test_what_was_rolled_back_was_never_there(notary: Notary) -> None:
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    write()
    assert notary.run_pass().sequenced == 1


def test_writers_on_every_side(notary: Notary) -> None:
    """Four writers, two of them on one subject, with transactions of different lengths, while passes go on."""
    shared = SubjectRef("dataset", uuid7(), "shared")
    home = workspace().id

    def writer(number: int) -> Callable[[], None]:
        def work() -> None:
            for turn in range(25):
                with transaction.atomic():
                    write(1, shared if number < 2 else None, home)
                    if turn % 5 == number:
                        time.sleep(0.02)

        return work

    threads = [in_thread(writer(number)) for number in range(4)]
    passes = 0
    while any(thread.is_alive() for thread in threads):
        notary.run_pass()
        passes += 1
    for thread in threads:
        thread.join()
    notary.run_pass()
    assert passes > 2
    assert Event.objects.filter(subject_id=shared.id).count() == 50
    everything_is_in_order(100)


def test_a_clock_that_goes_back_does_not_part_a_subject(
    transactional_db: None, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = SubjectRef("dataset", uuid7(), "patients")
    first = write(1, subject)[0]
    real = record._locked_head
    monkeypatch.setattr(
        record, "_locked_head", lambda *args: real(*args)._replace(now=first.at - timedelta(hours=1))
    )
    second = write(1, subject)[0]
    monkeypatch.undo()
    notary = Notary(checkpoint_key(), batch=1)
    assert notary.acquire()
    notary.run_pass()
    assert sequenced() == [first.id], "a checkpoint in between would look as if the first had been taken out"
    notary.run_pass()
    assert sequenced() == [first.id, second.id]
    notary.release()
    everything_is_in_order(2)


def test_the_watermark_follows_and_a_wrong_one_is_healed_at_start(notary: Notary) -> None:
    """After a restore into another cluster transaction ids start anew: the stored watermark means nothing there."""
    write(2)
    notary.run_pass()
    assert LogState.objects.get().watermark > 0
    LogState.objects.update(watermark=2**62)
    write(2)
    assert notary.run_pass().sequenced == 0, "this is what the anti-join at start is for"
    notary.release()
    assert notary.acquire()
    assert notary.run_pass().sequenced == 2
    everything_is_in_order(4)


# --- crashes -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing may catch this, as nothing can catch SIGKILL."""


def crash(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    if where == "before the commit":
        monkeypatch.setattr(nodes, "append", die)
    elif where == "between commit and signature":
        monkeypatch.setattr("audits.ledger.notary.sign_checkpoint", die)
    elif where == "between signature and folder":
        monkeypatch.setattr(Publication, "publish", die)
    elif where == "between the two files":
        real = Publication._replace

        def half(self: Publication, path: Path, data: bytes) -> None:
            if path.name == "checkpoint":
                raise Killed
            real(self, path, data)

        monkeypatch.setattr(Publication, "_replace", half)
    elif where == "between rename and sync":
        monkeypatch.setattr(os, "replace", die)
    else:
        monkeypatch.setattr(Notary, "_write_down", die)


@pytest.mark.parametrize(
    "where",
    [
        "before the commit",
        "between commit and signature",
        "between signature and folder",
        "between the two files",
        "between rename and sync",
        "between folder and row",
    ],
)
@pytest.mark.parametrize("more", [0, 3])
def test_killed_at(
    transactional_db: None, published: Path, monkeypatch: pytest.MonkeyPatch, where: str, more: int
) -> None:
    """The next notary finishes what this one began, whether or not events came in between."""
    first = Notary(checkpoint_key())
    assert first.acquire()
    write(2)
    first.run_pass()
    write(3)
    with monkeypatch.context() as patch:
        crash(patch, where)
        with pytest.raises(Killed):
            first.run_pass()
    assert PublishedCheckpoint.objects.count() == 1, "nothing is effective before all of it is done"
    connection.close()  # the session dies with its process, and its lock with it
    write(more)
    second = Notary(checkpoint_key())
    assert second.acquire()
    second.run_pass()
    second.release()
    everything_is_in_order(5 + more)
    assert not list(published.rglob(".new-*")) or where == "between rename and sync"


def environment(published: Path) -> dict[str, str]:
    database = connections["default"].settings_dict
    host, port = database["OPTIONS"].get("host") or database["HOST"], database["PORT"]
    where = f"host={host}" + (f"&port={port}" if port else "")
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{database['USER']}{password}@/{database['NAME']}?{where}",
        "CRIVO_PUBLISH": str(published),
        "CRIVO_KEYS": django_settings.CRIVO_KEYS,
        "CRIVO_ORIGIN": django_settings.CRIVO_ORIGIN,
        "SECRET_KEY": "for-the-test-alone",
    }


def start(published: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "notary"],
        cwd=ROOT,
        env=environment(published),
        stderr=subprocess.PIPE,
        text=True,
    )


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return met


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_real_processes_killed_and_taken_over(
    transactional_db: None, published: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """SIGKILL under load: the standby takes over, nothing is lost or doubled; SIGTERM ends one gracefully."""
    first, second = start(published), start(published)
    processes += [first, second]
    stop = threading.Event()
    home = workspace().id

    def writer() -> None:
        while not stop.is_set():
            write(1, None, home)
            time.sleep(0.005)

    threads = [in_thread(writer) for _ in range(2)]
    try:
        assert eventually(lambda: PublishedCheckpoint.objects.count() >= 2)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        size = Event.objects.count()
        assert eventually(lambda: PublishedCheckpoint.objects.filter(size__gt=size).exists())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    count = Event.objects.count()
    assert eventually(lambda: PublishedCheckpoint.objects.filter(size=count).exists())
    waits = []
    for _ in range(25):  # one at a time: commit to checkpoint
        event = write(1, None, home)[0]
        began = time.monotonic()
        assert eventually(lambda event=event: bool(published_at([event.id])))  # type: ignore[misc]
        waits.append(time.monotonic() - began)
    assert max(waits) < 1.0, sorted(waits)[-3:]
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0
    everything_is_in_order(count + 25)


# --- false events ------------------------------------------------------------------------------------------

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
    assert codes(verified()) == {"signature"}


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
    LogState.objects.update(origin="elsewhere.example/log")
    with pytest.raises(ForkError, match=r"elsewhere\.example/log"):
        notary.run_pass()


# --- one notary --------------------------------------------------------------------------------------------


def test_a_second_notary_stands_by_and_takes_over(notary: Notary, published: Path) -> None:
    answers: list[bool] = []
    other = Notary(checkpoint_key())
    in_thread(lambda: answers.append(other.acquire())).join()
    assert answers == [False]
    with pytest.raises(NotTheNotaryError):
        other.run_pass()
    notary.release()
    in_thread(lambda: answers.append(Notary(checkpoint_key()).acquire())).join()
    assert answers == [False, True]


def test_a_notary_that_lost_its_session_does_not_go_on(notary: Notary) -> None:
    """The lock went with the session; Django would open a new one silently."""
    write(1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]

    def end_it() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    in_thread(end_it).join()
    with pytest.raises(OperationalError):
        notary.run_pass()
    connection.close()
    with pytest.raises(NotTheNotaryError):
        notary.run_pass()
    assert sequenced() == []
    assert notary.acquire()
    assert notary.run_pass().sequenced == 1


def test_a_notary_that_slept_does_not_publish_behind_its_successor(notary: Notary, published: Path) -> None:
    write(2)
    notary.run_pass()
    behind = signed(published / "checkpoint")
    write(1)
    notary.run_pass()
    assert not notary.publication.publish(behind, (published / "checkpoints" / "2").read_bytes())
    assert signed(published / "checkpoint").size == 3


def test_an_event_wakes_the_notary(notary: Notary) -> None:
    home = workspace().id
    timer = threading.Timer(0.2, lambda: in_thread(lambda: write(1, None, home)).join())
    timer.start()
    began = time.monotonic()
    notary.wait(10)
    assert 0.1 < time.monotonic() - began < 5
    timer.join()
    assert notary.run_pass().sequenced == 1
    began = time.monotonic()
    notary.wait(0.2)
    assert time.monotonic() - began >= 0.2, "nothing happened, so the wait is over by time"
