"""The notary among concurrent writers and beside a second notary, on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection, connections, transaction

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.ledger import record
from audits.ledger.inclusion import published_at
from audits.ledger.notary import Notary, NotTheNotaryError
from audits.ledger.note import Checkpoint
from audits.ledger.signing import checkpoint_key
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, LogState, Node
from audits.roles import acting_as_notary
from tests.audits.trail import (
    entries,
    everything_is_in_order,
    in_thread,
    naive_root,
    sequenced,
    signed,
    workspace,
    write,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


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
        record,
        "_locked_head",
        lambda *args, **also: real(*args, **also)._replace(now=first.at - timedelta(hours=1)),
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
    with acting_as_notary():
        LogState.objects.update(watermark=2**62)
    write(2)
    assert notary.run_pass().sequenced == 0, "this is what the anti-join at start is for"
    notary.release()
    assert notary.acquire()
    assert notary.run_pass().sequenced == 2
    everything_is_in_order(4)


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
    with connections["notary"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]

    def end_it() -> None:
        with connections["notary"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    in_thread(end_it).join()
    with pytest.raises(OperationalError):
        notary.run_pass()
    connections["notary"].close()
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
