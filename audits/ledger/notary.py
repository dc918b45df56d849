"""The notary: gives events their place in the tree, signs the tree, and publishes what it signed.

1. One holder. An advisory lock of the very session the passes run in: if the session ends, so does the right to pass.
2. A pass takes every *visible* event with xid ≥ the previous pass's xmin that is not yet a leaf. Whatever was still
   running then has a larger xid or is in that window, so no event is ever lost and nobody is waited for.
3. Leaves, inner nodes and watermark commit together. Only then the checkpoint is signed, published outside the
   database, and at last written down as published: a notary killed in between finishes what the other one began.
4. Before anything is signed, what was published last must be what the database had at that size. If not, ForkError:
   somebody has to look; a notary that went on would sign two histories.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import Error, connection, transaction

from audits.actors import Command, system_actor
from audits.dispatch import CHANNEL
from audits.keys import RowKey, look_again, row_keys
from audits.ledger import nodes
from audits.ledger.beside import digest_of_statement, sign_statement, statement_text
from audits.ledger.entry import body_of
from audits.ledger.note import (
    Checkpoint,
    NoteError,
    NoteSigner,
    SignatureMismatchError,
    sign_checkpoint,
)
from audits.ledger.pruned import envelopes_of
from audits.ledger.publication import ForkError, Publication
from audits.ledger.record import mac_holds
from audits.ledger.tree import leaf_hash
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, LogState, Workspace
from audits.roles import acting_as_notary
from audits.services.quarantine import quarantine_event

__all__ = ["ForkError", "NotTheNotaryError", "Notary", "PassResult"]

LOCK = 0x637269766F  # "crivo"; advisory locks belong to one database
BATCH = 10_000  # events in one transaction
CHUNK = 1_000  # events in memory at once
SKEW = 300  # seconds that clocks of service and database may differ
ON_ITS_WAY = 60  # seconds after a row key was found to be stolen
log = logging.getLogger(__name__)


class NotTheNotaryError(RuntimeError):
    """A pass without the lock: another process is the notary, or the session that held the lock is gone."""


@dataclass(frozen=True)
class PassResult:
    """What one pass did. `published` is the size of the newest published checkpoint; `more` means: pass again now."""

    sequenced: int
    quarantined: int
    size: int
    published: int
    more: bool = False


class Notary:
    """Sequences and signs. Not thread-safe: it belongs to the database connection (the notary's: audits.roles) of the
    thread that made it.
    """

    def __init__(
        self,
        signer: NoteSigner,
        publication: Publication | None = None,
        batch: int = BATCH,
        cosigners: Sequence[NoteSigner] = (),
    ) -> None:
        if signer.vkey.name != settings.CRIVO_ORIGIN:
            raise ValueError("the signer's name must be the origin of the log")
        self.signer = signer
        self.cosigners = tuple(cosigners)  # of the same log, while a key is being replaced
        self.publication = publication or Publication(signer.vkey)
        self.batch = batch
        self._session: object | None = None
        self._looked_everywhere = False
        self._unreadable: dict[UUID, str] = {}

    def use(self, signer: NoteSigner, cosigners: Sequence[NoteSigner] = ()) -> None:
        """Sign with these from the next checkpoint on. What was published must verify with a key of the publication."""
        self.signer, self.cosigners = signer, tuple(cosigners)

    # --- one holder ------------------------------------------------------------------------------------------

    @acting_as_notary()
    def acquire(self) -> bool:
        """Become the notary; False while another one is. Then listens for events and finishes an interrupted pass."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return False
            cursor.execute(f"LISTEN {CHANNEL}")
        self._session = connection.connection
        self._looked_everywhere = False
        try:
            LogState.objects.get_or_create(id=1, defaults={"origin": settings.CRIVO_ORIGIN})
            self._catch_up()
        except BaseException:
            self.release()
            raise
        return True

    @acting_as_notary()
    def release(self) -> None:
        """Hand the office over. Harmless when the session has ended already."""
        if self._session is not None and self._session is connection.connection:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"UNLISTEN {CHANNEL}")
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
            except Error:  # InterfaceError, of a session known to be closed, is no DatabaseError
                connection.close()
        self._session = None

    def _assert_held(self) -> None:
        if self._session is None or self._session is not connection.connection:
            raise NotTheNotaryError("this process does not hold the notary's lock")

    @acting_as_notary()
    def wait(self, seconds: float, *others: int) -> bool:
        """Until somebody wrote an event (True), one of the file descriptors `others` is readable, or the time is over.

        django.db.Error where the session has ended: the driver is asked past Django's cursors, and its own exceptions
        are none that a caller of ours catches.
        """
        self._assert_held()
        raw = connection.connection
        with connection.wrap_database_errors:
            raw.poll()  # InterfaceError on one that is known to be closed
            if not raw.notifies:
                select.select([raw, *others], [], [], seconds)
                raw.poll()
            called = bool(raw.notifies)
            raw.notifies.clear()
        return called

    # --- sequencing ------------------------------------------------------------------------------------------

    @acting_as_notary()
    def run_pass(self) -> PassResult:
        """Give every visible event its leaf, and publish a checkpoint over them.

        ForkError: nothing was signed, and nothing may be. NotTheNotaryError: the lock is gone, acquire it again.
        """
        self._assert_held()
        self._guard()
        bad: list[tuple[Event, str]] = []
        sequenced, more = self._sequence(bad)
        quarantined = sum(self._quarantine(event, code) for event, code in bad)
        size = nodes.stored_size()
        published = self._publish(size)
        return PassResult(sequenced, quarantined, size, published, more or quarantined > 0)

    def _sequence(self, bad: list[tuple[Event, str]]) -> tuple[int, bool]:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
                horizon = int(cursor.fetchone()[0])
            state = LogState.objects.select_for_update().get(id=1)
            if state.origin != settings.CRIVO_ORIGIN:
                raise ForkError(
                    f"The database holds the log {state.origin}, but CRIVO_ORIGIN is {settings.CRIVO_ORIGIN}."
                )
            waiting = self._waiting(int(state.watermark) if self._looked_everywhere else 0)
            more = len(waiting) > self.batch
            sequenced = self._append(waiting[: self.batch], bad)
            if not more:
                # What is left out of a batch must stay inside the window of the next pass.
                state.watermark = Decimal(horizon)
                state.save(update_fields=["watermark"])
        self._looked_everywhere = self._looked_everywhere or not more
        return sequenced, more

    def _waiting(self, since: int) -> list[UUID]:
        """Events that are no leaf yet, written by transactions from `since` on: at most one more than a batch.

        An event never comes before its subject's previous one, even when the clock went back between them: a checkpoint
        that cut between the two would look as if an event had been taken out.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM (SELECT e.id, e.subject_seq, max(e.at) OVER ("
                "  PARTITION BY e.subject_kind, e.subject_id ORDER BY e.subject_seq) AS since"
                # Of what was pruned the envelope is left: after an incident it gets its place in the new log, too.
                "  FROM (SELECT id, subject_kind, subject_id, subject_seq, at, xid FROM audits_event UNION ALL"
                "    SELECT event_id, subject_kind, subject_id, subject_seq, at, xid FROM audits_pruned) e"
                "  WHERE e.xid >= %s::text::xid8"
                "  AND NOT EXISTS (SELECT 1 FROM audits_leaf l WHERE l.event_id = e.id)"
                "  AND NOT EXISTS (SELECT 1 FROM audits_quarantine q WHERE q.event_id = e.id)"
                "  AND e.id <> ALL(%s::uuid[])) w "
                "ORDER BY since, subject_seq, id LIMIT %s",
                [str(since), [str(event) for event in self._unreadable], self.batch + 1],
            )
            return [row[0] for row in cursor.fetchall()]

    def _append(self, ids: Sequence[UUID], bad: list[tuple[Event, str]]) -> int:
        if not ids:
            return 0
        salts = dict(Workspace.objects.values_list("id", "salt"))
        tree = nodes.load_tree(nodes.stored_size())
        before = tree.size
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            events = Event.objects.in_bulk(chunk)
            genuine: list[UUID] = []
            grown = []
            kept = envelopes_of([event_id for event_id in chunk if event_id not in events])
            for event_id in chunk:
                if event_id in kept:
                    genuine.append(event_id)
                    grown += tree.append(leaf_hash(kept[event_id]))
                    continue
                if event_id not in events:
                    self._unreadable[event_id] = "pruned_differs"
                    continue
                event = events[event_id]
                entry, code = genuine_entry(event, salts.get(event.workspace_id, ""))
                if entry is None:
                    bad.append((event, code))
                    continue
                genuine.append(event.id)
                grown += tree.append(leaf_hash(entry))
            if genuine:
                nodes.append(genuine, grown)
        return tree.size - before

    def _quarantine(self, event: Event, code: str) -> bool:
        """Set a false event aside, with an event of its own. Never a reason to stop: if even that fails, it is left out
        and looked at again by the next notary.
        """
        log.error("event %s is not genuine (%s): quarantined, never sequenced", event.id, code)
        try:
            quarantine_event(
                command=Command(system_actor("notary", event.workspace_id)), event=event, code=code
            )
        except Exception:
            log.exception("event %s could not be quarantined", event.id)
            self._unreadable[event.id] = code
            return False
        return True

    # --- signing and publishing ------------------------------------------------------------------------------

    def _guard(self, last: Checkpoint | None = None) -> int:
        """ForkError unless the database still holds what was published last. The size of that."""
        if last is None:
            found = self.publication.last()
            if found is None:
                return 0
            last = found[0]
        size = nodes.stored_size()
        if last.size > size:
            raise ForkError(
                f"A checkpoint over {last.size} entries was published, but the database holds only {size}: it is older "
                "than what others have seen (a backup was restored, or rows were removed). Nothing was signed."
            )
        try:
            root = nodes.stored_root(last.size)
        except nodes.NodeMissingError as error:
            raise ForkError(f"The stored tree has a hole: {error}. Nothing was signed.") from error
        if root != last.root:
            raise ForkError(
                f"The database's first {last.size} entries are not those of the checkpoint that was published over "
                "them: entries were changed, removed or moved. Nothing was signed."
            )
        return last.size

    def _publish(self, size: int) -> int:
        """Sign and publish the tree of `size` leaves unless that has been done; the size that is public now."""
        if size == 0:
            return 0
        found = self.publication.last()
        if found is not None and found[0].size == size:
            checkpoint, note = found
        else:
            self._guard()
            checkpoint = Checkpoint(settings.CRIVO_ORIGIN, size, nodes.stored_root(size))
            note = sign_checkpoint(checkpoint, self.signer, *self.cosigners)
            self._assert_held()
            if not self.publication.publish(checkpoint, note):
                raise NotTheNotaryError("another notary has published a later checkpoint")
        if not PublishedCheckpoint.objects.filter(size=size).exists():
            self._write_down(checkpoint, note)
        return size

    def _write_down(self, checkpoint: Checkpoint, note: bytes) -> None:
        """The row comes last: an event is effective when everybody can see the checkpoint, not before. Since when that
        is decides about permissions, so it is signed, with the row before.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            last = PublishedCheckpoint.objects.filter(size__lt=checkpoint.size).order_by("-size").first()
            before = (0, "none") if last is None else (last.size, digest_of_statement(last.statement))
            cursor.execute("SELECT clock_timestamp()")
            at = cursor.fetchone()[0]
            text = statement_text(checkpoint.origin, checkpoint.size, checkpoint.root, at, before)
            cursor.execute(
                "INSERT INTO audits_checkpoint (size, root, note, published_at, statement) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [checkpoint.size, checkpoint.root, note.decode(), at, sign_statement(text, self.signer)],
            )

    def _catch_up(self) -> None:
        """Finish what an interrupted notary began, after making sure that folder and database tell one story."""
        folder = self.publication.furthest()
        if folder is not None:
            checkpoint, note = folder
            self._guard(checkpoint)
            self.publication.publish(checkpoint, note)
            self._write_down(checkpoint, note)
        row = PublishedCheckpoint.objects.order_by("-size").first()
        if row is None:
            return
        try:
            kept = self.publication.verified(row.note.encode())
        except (NoteError, SignatureMismatchError) as error:
            raise ForkError(
                f"The database holds a checkpoint that this log did not sign: {error}."
            ) from error
        self._guard(kept)
        if folder is None or folder[0].size < kept.size:
            log.warning(
                "the folder of published checkpoints was behind the database: publishing the last again"
            )
            self.publication.publish(kept, row.note.encode())


def genuine_entry(event: Event, workspace_salt: str) -> tuple[bytes | None, str]:
    """The ledger entry of a row, or None and why it is not one that Crivo wrote."""
    try:
        entry = body_of(event, workspace_salt).envelope
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "malformed"
    if mac_holds(entry, event.mac, _usable(event)):
        return entry, ""
    look_again()  # the key it was written with may be younger than our last look
    if mac_holds(entry, event.mac, _usable(event)):
        return entry, ""
    if mac_holds(entry, event.mac):
        return None, "key_over"  # a row key of another time, or one that somebody else may hold
    return None, "mac_differs"


def _usable(event: Event) -> list[RowKey]:
    """Row keys an event that is no leaf yet may have been written with.

    By its own time: a transaction may stay open for hours, and its events are those of the key of then. Not so once
    that key is in other hands: whoever holds it could date events back, so only what may have been on its way counts.
    """
    known, at, now = row_keys(), event.at.timestamp(), time.time()
    if len(known) == 1:
        return list(known)
    stolen = stolen_row_keys()
    return [
        found
        for found in known
        if found.since - SKEW <= at
        and (
            found.until is None
            or (now < found.until + ON_ITS_WAY if found.id in stolen else at < found.until + SKEW)
        )
    ]


def stolen_row_keys() -> set[str]:
    """Names of row keys that were replaced because somebody else may hold them."""
    told = Event.objects.filter(
        verb="key.rotated", outcome="done", detail__purpose="row", detail__compromised=True
    )
    return {str(event.detail["old"]) for event in told}


def pause(last_published: float, *, gather: float = 0.02, apart: float = 0.2) -> None:
    """Let a burst of events come together in one checkpoint, and keep checkpoints `apart` seconds from each other."""
    time.sleep(max(gather, min(apart, last_published + apart - time.monotonic())))
