"""Verify the ledger where it lives: every row against its leaf, the leaves against the tree, the tree against what
was signed and published. Reads only, in one snapshot, so it may run beside a working notary; memory stays flat.

The stand-alone verifier needs none of this and trusts nothing here; this one also knows MACs, texts and heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Prefetch

from audits.ledger import nodes
from audits.ledger.beside import check_beside
from audits.ledger.entry import body_of
from audits.ledger.notary import genuine_entry
from audits.ledger.note import (
    Checkpoint,
    NoteError,
    SignatureMismatchError,
    VerifierKey,
    verify_checkpoint_by_any,
)
from audits.ledger.pruned import Pruned
from audits.ledger.record import mac_holds
from audits.ledger.tree import CompactTree, leaf_hash
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event, EventText, Leaf, Quarantine, Workspace
from audits.sealing import Opened, opened

CHUNK = 1_000
LISTED = 100


@dataclass(frozen=True)
class Finding:
    """`code` is stable; `index` the place in the log and `event` the id, where known."""

    code: str
    sentence: str
    index: int | None = None
    event: str = ""

    def __str__(self) -> str:
        where = [f"entry {self.index}"] if self.index is not None else []
        where += [f"event {self.event}"] if self.event else []
        return f"{', '.join(where) or 'ledger'}: {self.sentence} [{self.code}]"


@dataclass
class LedgerReport:
    """What was found; `findings` holds the first 100, `count` is how many there were."""

    size: int = 0
    root: bytes = b""
    waiting: int = 0
    quarantined: int = 0
    erased: int = 0  # texts of persons who were erased
    pruned: int = 0  # events of which only the envelope is left, as the log says
    checkpoints: int = 0
    count: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        return self.count == 0

    def add(self, code: str, sentence: str, index: int | None = None, event: object = "") -> None:
        self.count += 1
        if len(self.findings) < LISTED:
            self.findings.append(Finding(code, sentence, index, str(event)))


def verify_ledger(vkey: VerifierKey, *kept: bytes, others: Sequence[VerifierKey] = ()) -> LedgerReport:
    """Compare everything with everything. `kept` are signed checkpoints from outside the database, in any order.

    `others`: earlier keys of the log; a checkpoint is good if any of its keys signed it.
    """
    report = LedgerReport()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _Walk(report, (vkey, *others), kept).run()
        _check_outside(report)
        _check_chains(report)
        check_beside(report, (vkey, *others))
    return report


class _Walk:
    """One pass over the leaves in their order: each against its event, and the tree they grow into against nodes,
    stored checkpoints and those kept outside.
    """

    def __init__(self, report: LedgerReport, vkeys: Sequence[VerifierKey], kept: tuple[bytes, ...]) -> None:
        self.report, self.vkeys = report, vkeys
        self.salts = dict(Workspace.objects.values_list("id", "salt"))
        self.tree = CompactTree()
        self.diverged = False
        self.erased: dict[UUID, datetime | None] = {}  # person → when their key was erased
        self.texts: dict[tuple[UUID, str], Opened] = {}
        self.damaged: set[tuple[UUID, str]] = set()
        self.signed = self._signed(kept)
        self.pruned = Pruned()

    def _signed(self, kept: tuple[bytes, ...]) -> list[tuple[str, Checkpoint]]:
        found = [
            (what, checkpoint)
            for what, note in [("a checkpoint kept outside", note) for note in kept]
            if (checkpoint := self._opened(what, note)) is not None
        ]
        return sorted(found, key=lambda item: item[1].size)

    def _opened(self, what: str, note: bytes) -> Checkpoint | None:
        try:
            return verify_checkpoint_by_any(note, self.vkeys)
        except (NoteError, SignatureMismatchError) as error:
            self.report.add("signature", f"{what}: {error}")
            return None

    def run(self) -> None:
        rows = PublishedCheckpoint.objects.order_by("size").iterator(CHUNK)
        stored = next(rows, None)
        count = expected = 0
        for chunk in _leaves():
            grown = []
            self._open(chunk)
            for leaf in chunk:
                if leaf.index != expected:
                    self.report.add("leaf_missing", f"the log has no leaf at {expected}", leaf.index)
                expected = leaf.index + 1
                self._leaf(leaf)
                grown += self.tree.append(self._hash(leaf))
                count += 1
                while stored is not None and stored.size <= count:
                    self._stored(stored)
                    stored = next(rows, None)
                while self.signed and self.signed[0][1].size <= count:
                    self._compare(*self.signed.pop(0))
            self._inner({(node.level, node.position): node.hash for node in grown if node.level})
        while stored is not None:
            self._stored(stored)
            stored = next(rows, None)
        for what, checkpoint in self.signed:
            self._compare(what, checkpoint)
        self.report.pruned = self.pruned.count
        for doubt in self.pruned.finish():
            self.report.add("pruned_differs", doubt.sentence, doubt.index, doubt.event)
        total = sum(count >> level for level in range(1, 63))
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audits_node")
            extra = cursor.fetchone()[0] - total
        if extra > 0:
            self.report.add("node_extra", f"{extra} inner nodes belong to no leaf")
        self.report.size, self.report.root = count, self.tree.root()

    def _hash(self, leaf: Leaf) -> bytes:
        """Of this leaf, or a stand-in: what is no hash is found by `_leaf`, and the walk goes on."""
        stored = bytes(leaf.hash)
        return stored if len(stored) == len(nodes.NOTHING) else leaf_hash(stored)

    def _open(self, chunk: list[Leaf]) -> None:
        """The texts of these events, with one query for their keys."""
        self.damaged = set()
        written = [
            text for leaf in chunk if "event" in leaf._state.fields_cache for text in leaf.event.written.all()
        ]
        self.texts = opened(written, self.damaged)
        self.pruned.open(chunk)

    def _leaf(self, leaf: Leaf) -> None:
        """The event's row against its leaf, and against its MAC."""
        try:
            event = leaf.event
        except Event.DoesNotExist:
            if self.pruned.holds(leaf):
                for doubt in self.pruned.doubts(leaf):
                    self.report.add("pruned_differs", doubt.sentence, doubt.index, doubt.event)
                return
            self.report.add("event_missing", "its event was removed", leaf.index, leaf.event_id)
            return
        try:
            entry = body_of(event, self.salts.get(event.workspace_id, "")).envelope
        except (ValueError, KeyError, TypeError, AttributeError):
            self.report.add("event_malformed", "its row is not one Crivo could write", leaf.index, event.id)
            return
        if leaf_hash(entry) != bytes(leaf.hash):
            sentence = "its row does not hash to its leaf: one of them was changed"
            self.report.add("leaf_differs", sentence, leaf.index, event.id)
        if not mac_holds(entry, event.mac):
            self.report.add("mac_differs", "Crivo did not write it as it stands", leaf.index, event.id)
        self._texts(event, leaf.index)

    def _texts(self, event: Event, index: int) -> None:
        found = {text.name: text for text in event.written.all()}
        for name in sorted(set(found) | set(event.texts)):
            text = found.get(name)
            if text is None:
                self.report.add("text_missing", f"its text {name} was removed", index, event.id)
                continue
            words = self.texts.get((event.id, name))
            if (event.id, name) in self.damaged:
                self.report.add("text_differs", f"its sealed text {name} was changed", index, event.id)
            elif words is None:
                self._unreadable(event, text, index)
            elif words.commitment != event.texts.get(name):
                self.report.add(
                    "text_differs", f"its text {name} is not the one committed to", index, event.id
                )

    def _unreadable(self, event: Event, text: EventText, index: int) -> None:
        """A text whose key is gone: that is in order where an event says that it was erased since."""
        if text.person_id not in self.erased:
            told = Event.objects.filter(
                verb="person.erased", outcome="done", subject_id=text.person_id
            ).order_by("-at")
            self.erased[text.person_id] = told.values_list("at", flat=True).first()
        since = self.erased[text.person_id]
        if since is None or since < event.at:
            self.report.add("text_lost", f"the key of its text {text.name} is gone", index, event.id)
        else:
            self.report.erased += 1

    def _inner(self, expected: dict[tuple[int, int], bytes]) -> None:
        found = nodes.stored_nodes(list(expected))
        for (level, index), value in expected.items():
            if (level, index) not in found:
                self.report.add("node_missing", f"the inner node {index} of level {level} was removed")
            elif found[level, index] != value:
                self.report.add("node_differs", f"the inner node {index} of level {level} was changed")

    def _stored(self, row: PublishedCheckpoint) -> None:
        self.report.checkpoints += 1
        what = f"the stored checkpoint over {row.size} entries"
        checkpoint = self._opened(what, row.note.encode())
        if checkpoint is None:
            return
        if checkpoint.size != row.size or checkpoint.root != bytes(row.root):
            self.report.add("checkpoint_differs", f"{what} says something else than its note")
        self._compare(what, checkpoint)

    def _compare(self, what: str, checkpoint: Checkpoint) -> None:
        if checkpoint.size > self.tree.size:
            self.report.add(
                "rolled_back", f"{what} covers {checkpoint.size} entries, the log has {self.tree.size}"
            )
        elif checkpoint.size == self.tree.size and checkpoint.root != self.tree.root() and not self.diverged:
            self.diverged = True  # every later one differs, too
            self.report.add(
                "root_differs",
                f"{what} signs another root for the first {checkpoint.size} entries than the leaves hash to: entries "
                "were changed, added, removed or moved",
            )


def _leaves() -> Iterator[list[Leaf]]:
    """Chunks of leaves in order, with events and texts. By key, not by cursor: nothing is kept open on the server."""
    after = -(1 << 62)
    while True:
        chunk = list(Leaf.objects.filter(index__gt=after).order_by("index")[:CHUNK])
        if not chunk:
            return
        events = Event.objects.prefetch_related(
            Prefetch("written", EventText.objects.order_by("name"))
        ).in_bulk([leaf.event_id for leaf in chunk])
        for leaf in chunk:
            if leaf.event_id in events:
                leaf.event = events[leaf.event_id]
        yield chunk
        after = chunk[-1].index


def _check_outside(report: LedgerReport) -> None:
    """Events that are no leaf: waiting for the notary, or quarantined. Both can be lies."""
    salts = dict(Workspace.objects.values_list("id", "salt"))
    outside = Event.objects.filter(leaf__isnull=True).select_related("quarantine").order_by("id")
    rows = outside.iterator(CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        for event in chunk:
            genuine = genuine_entry(event, salts.get(event.workspace_id, ""))[0] is not None
            quarantined = hasattr(event, "quarantine")
            if quarantined:
                report.quarantined += 1
                if genuine:
                    report.add(
                        "quarantine_false",
                        "it is genuine, but was put aside past the notary",
                        event=event.id,
                    )
                else:
                    report.add("quarantined", "it is not genuine and was quarantined", event=event.id)
            else:
                report.waiting += 1
                if not genuine:
                    report.add("mac_differs", "Crivo did not write it as it stands", event=event.id)
    for row in Quarantine.objects.filter(event__leaf__isnull=False):
        report.add(
            "quarantine_false", "it is in the log, but was put aside past the notary", event=row.event_id
        )


_CHAINS = """
SELECT id, subject_seq, previous, seq_before, digest_before FROM (
  SELECT e.id, e.subject_seq, e.previous, encode(l.hash, 'hex') AS digest,
    lag(e.subject_seq, 1, 0::bigint) OVER w AS seq_before, lag(encode(l.hash, 'hex')) OVER w AS digest_before
  FROM (
    SELECT id, subject_kind, subject_id, subject_seq, previous FROM audits_event UNION ALL
    SELECT event_id, subject_kind, subject_id, subject_seq, NULL FROM audits_pruned) e  -- its leaf binds its previous
  LEFT JOIN audits_leaf l ON l.event_id = e.id
  WINDOW w AS (PARTITION BY e.subject_kind, e.subject_id ORDER BY e.subject_seq)) c
WHERE subject_seq <> seq_before + 1
  OR (seq_before = 0 AND previous <> '') OR (seq_before > 0 AND digest_before IS NOT NULL AND previous <> digest_before)
ORDER BY id
"""

_HEADS = """
SELECT coalesce(h.kind, last.subject_kind), coalesce(h.subject_id, last.subject_id), h.seq, last.seq
FROM audits_subject_head h
FULL JOIN (
  SELECT DISTINCT ON (e.subject_kind, e.subject_id) e.subject_kind, e.subject_id, e.subject_seq AS seq,
    e.workspace_id, e.subject_salt, e.after, encode(l.hash, 'hex') AS digest
  FROM (
    SELECT id, subject_kind, subject_id, subject_seq, workspace_id, subject_salt, after FROM audits_event UNION ALL
    SELECT event_id, subject_kind, subject_id, subject_seq, workspace_id, NULL, NULL FROM audits_pruned) e
  LEFT JOIN audits_leaf l ON l.event_id = e.id
  ORDER BY e.subject_kind, e.subject_id, e.subject_seq DESC) last
  ON last.subject_kind = h.kind AND last.subject_id = h.subject_id
WHERE coalesce(h.seq, -1) <> coalesce(last.seq, 0) OR (last.seq IS NOT NULL AND (
  h.workspace_id <> last.workspace_id OR h.salt <> last.subject_salt OR h.state <> last.after
  OR h.digest <> coalesce(last.digest, h.digest)))
ORDER BY 2
"""


def _check_chains(report: LedgerReport) -> None:
    """Numbers without a gap, each event carrying the digest of the one before, and heads that know the last one."""
    with connection.cursor() as cursor:
        cursor.execute(_CHAINS)
        for event, seq, _previous, before, _digest in cursor.fetchall():
            if seq != before + 1:
                report.add(
                    "seq_missing",
                    f"it is number {seq} of its subject, the one before is {before}",
                    event=event,
                )
            else:
                report.add(
                    "previous_differs",
                    "it does not carry the digest of its subject's previous event",
                    event=event,
                )
        cursor.execute(_HEADS)
        for kind, subject, seq, last in cursor.fetchall():
            said = (
                f"says {seq} events were written, the last one here is number {last or 0}"
                if seq != last
                else "is not what its last event left"
            )
            report.add("head_differs", f"the head of {kind} {subject} {said}")
