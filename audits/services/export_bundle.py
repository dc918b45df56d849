"""The verifiable export: every envelope of the log as tiles and bundles, heads in scope, the rest for what matches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from audits.errors import Problem
from audits.ledger import pruned
from audits.ledger.note import VerifierKey
from audits.ledger.rows import Entry, Reader, line_of
from audits.ledger.tiles import TileWriter, seal
from audits.models import AuditExport, Event, EventText
from audits.sealing import opened
from audits.services.export_work import Work
from audits.trail import EXPORTED, TrailQuery
from audits.verifier import Filter, parse_head, verify_checkpoint

CHUNK = 2_048  # entries at once; whole bundles
SAVED = 64  # chunks between two savings

Texts = dict[bytes, dict[str, tuple[str, bytes]]]


def make(
    export: AuditExport,
    work: Work,
    note: bytes,
    vkey: str,
    stated: dict[str, Any],
    tell: Callable[[int], None],
) -> dict[str, Any]:
    """Fill the folder of `work`; the manifest. ValueError if the log is not the one that the checkpoint signs;
    PrunedMeanwhile where events went that this checkpoint does not tell of.
    """
    log = verify_checkpoint(note, VerifierKey.parse(vkey))
    wanted = TrailQuery.parse(export.query, EXPORTED)
    choose = _Choice(export, wanted)
    progress, ours = work.progress, str(export.workspace_id).encode()
    writer = TileWriter.resume(work.folder, progress.start, progress.more.get("levels", [[]]))
    reader, told = Reader(), Told(export, log.size)
    with work.growing("events.jsonl") as file:
        for start in range(progress.start, log.size, CHUNK):
            stop = min(start + CHUNK, log.size)
            entries = list(reader.read(start, stop))
            writer.extend([entry.envelope for entry in entries], [entry.hash for entry in entries])
            mine = [entry for entry in entries if entry.workspace == ours]
            matches, heads = choose(mine, start, stop)
            texts = _texts(matches)
            chosen = {entry.place for entry in matches}
            if wanted.provable and told.entry is not None:
                chosen.add(told.entry)  # it says which events are absent, and where they are
            gone = sum(entry.pruned_of == ours for entry in entries)
            progress.more["gone"] = progress.more.get("gone", 0) + gone
            file.write(
                b"".join(
                    line_of(entry, True, texts.get(entry.event))
                    if entry.place in chosen
                    else line_of(entry, False)
                    for entry in heads
                )
            )
            progress.heads += len(heads)
            progress.counts.update([entry.verb.decode() for entry in matches])
            tell(stop)
            if (start // CHUNK) % SAVED == SAVED - 1 and stop < log.size:
                progress.start = stop
                progress.more["levels"] = writer.state()
                work.save(file)
    if (writer.size, writer.close()) != (log.size, log.root):
        raise ValueError("the entries are not those the checkpoint signs")
    told.agrees(progress.more.get("gone", 0))
    workspace = export.workspace
    return seal(
        work.folder,
        checkpoint=note,
        vkey=vkey,
        log=log,
        manifest={
            "completeness": "filtered" if wanted.provable else "none",
            "counts": dict(progress.counts),
            "filter": wanted.as_filter() if wanted.provable else None,
            "heads": progress.heads,
            "matches": progress.counts.total(),
            **({"pruned": told.entry} if told.entry is not None and wanted.provable else {}),
            "scope": {"kind": "workspace", "id": str(workspace.id), "salt": workspace.salt}
            if wanted.provable
            else None,
            "stated": {**stated, **told.stated},
        },
    )


class Told:
    """What was pruned of the workspace, by the log up to `size`; `entry` is where it says so, `stated` for people."""

    def __init__(self, export: AuditExport, size: int) -> None:
        self.export = export
        event = pruned.newest(export.workspace_id)
        self.event = event.id if event is not None else None
        leaf = getattr(event, "leaf", None)
        self.entry: int | None = None if leaf is None else leaf.index
        if event is not None and (self.entry is None or self.entry >= size):
            raise PrunedMeanwhile("export_pruned_meanwhile")
        self.total: int = event.detail["total"] if event is not None else 0
        self.stated = {"pruned": event.detail["exports"]} if event is not None else {}

    def agrees(self, gone: int) -> None:
        """After the work, of which a killed worker may have done a part before: nothing else went meanwhile."""
        event = pruned.newest(self.export.workspace_id)
        if (event.id if event is not None else None) != self.event or gone != self.total:
            raise PrunedMeanwhile("export_pruned_meanwhile")


class PrunedMeanwhile(Problem):
    """Rows went while the export was made: what it has of them would not agree with what its log says."""


class _Choice:
    """(matches, heads to disclose) among entries of the workspace. Where heads cannot tell, the database does."""

    def __init__(self, export: AuditExport, wanted: TrailQuery) -> None:
        self.workspace, self.wanted = export.workspace_id, wanted
        self.filter = Filter(wanted.as_filter())

    def __call__(self, entries: list[Entry], start: int, stop: int) -> tuple[list[Entry], list[Entry]]:
        if self.wanted.provable:
            if self.filter.everything:
                return entries, entries
            return [
                entry for entry in entries if self.filter.matches(parse_head(entry.head), entry.place)
            ], entries
        events = Event.objects.filter(workspace=self.workspace, leaf__index__gte=start, leaf__index__lt=stop)
        found = set(self.wanted.apply(events, self.workspace).values_list("leaf__index", flat=True))
        matches = [
            entry
            for entry in entries
            if entry.place in found and self.filter.matches(parse_head(entry.head), entry.place)
        ]
        return matches, matches


def _texts(entries: list[Entry]) -> Texts:
    """What people wrote there. What was erased is left out: its commitment stays in the rest."""
    events = [UUID(entry.event.decode()) for entry in entries if entry.has_texts]
    found: Texts = {}
    if events:
        rows = EventText.objects.filter(event__in=events).order_by("event", "name")
        for (event, name), text in opened(rows).items():
            found.setdefault(str(event).encode(), {})[name] = (text.text, text.salt)
    return found
