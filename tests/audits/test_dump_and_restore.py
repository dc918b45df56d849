"""A ledger moved into a new cluster, and one that a long transaction was held against: nothing lost, nothing twice."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg2
import pytest
from django.db import connection, connections, transaction

from audits.ledger.notary import ForkError, Notary
from audits.ledger.signing import checkpoint_key
from audits.models import Event, Leaf, LogState
from tests.audits.trail import everything_is_in_order, in_thread, past_crivo, verified, workspace, write

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


def elsewhere(name: str) -> psycopg2.extensions.connection:
    """A session of the same cluster in another database."""
    parameters = connections["migrator"].get_connection_params()
    kept = {key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)}
    return psycopg2.connect(dbname=name, **kept)


def test_in_a_new_cluster_transaction_ids_begin_again(notary: Notary, published: Path) -> None:
    """After dump and restore every xid is new and small, the watermark old and large: still every event is found."""
    write(3, texts={"reason": "antes"})
    notary.run_pass()
    write(2)
    notary.release()
    past_crivo(
        "UPDATE audits_log_state SET watermark = 18446744073709551000", "UPDATE audits_event SET xid = '3'"
    )
    successor = Notary(checkpoint_key())
    assert successor.acquire()
    try:
        assert successor.run_pass().sequenced == 2
        assert int(LogState.objects.get().watermark) < 2**63, "the watermark is of this cluster now"
        write(4)
        assert successor.run_pass().sequenced == 4
    finally:
        successor.release()
    everything_is_in_order(9)


def test_nobody_is_waited_for(notary: Notary) -> None:
    """Transactions open for hours, here and in another database of the cluster, one with an event of its own."""
    foreign = elsewhere("postgres")
    with foreign.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    written, finish = threading.Event(), threading.Event()
    home = workspace().id

    def slow() -> None:
        with transaction.atomic():
            write(1, None, home)
            written.set()
            assert finish.wait(20)

    thread = in_thread(slow)
    try:
        assert written.wait(10)
        for _ in range(5):
            write(2)
            assert notary.run_pass().sequenced == 2, "the others are not kept waiting"
        assert verified().findings == []
    finally:
        finish.set()
        thread.join()
        foreign.close()
    assert notary.run_pass().sequenced == 1, "and the late one is not forgotten"
    everything_is_in_order(11)


def test_rolled_back_is_never_there(notary: Notary) -> None:
    for number in range(12):
        try:
            with transaction.atomic():
                write(1)
                if number % 3:
                    raise RuntimeError
        except RuntimeError:
            pass
        notary.run_pass()
    assert Event.objects.count() == Leaf.objects.count() == 4
    everything_is_in_order(4)


def test_yesterdays_backup_is_not_signed(notary: Notary) -> None:
    """The whole database as it was: the folder knows better, and nothing is signed."""
    write(3)
    notary.run_pass()
    with connection.cursor() as cursor:
        cursor.execute('SELECT max("index") FROM audits_leaf')
        last = cursor.fetchone()[0]
    write(2)
    notary.run_pass()
    past_crivo(
        f"DELETE FROM audits_event USING audits_leaf l WHERE l.event_id = audits_event.id AND l.index > {last}",
        f"DELETE FROM audits_leaf WHERE index > {last}",
        f"DELETE FROM audits_checkpoint WHERE size > {last + 1}",
        f"DELETE FROM audits_node WHERE (index + 1) << level > {last + 1}",
    )
    with pytest.raises(ForkError, match="older than what others have seen"):
        notary.run_pass()
    write(5)  # the service goes on; what it writes waits for somebody to look
    with pytest.raises(ForkError):
        notary.run_pass()
    assert {finding.code for finding in verified().findings} >= {"rolled_back"}
