"""Writing a verifiable export: C2SP tlog-tiles, the disclosed events and the manifest, in one pass.

Memory: one tile per level and one entry bundle, whatever the size of the log (and one bundle holds 256
entries). Nothing here reads the database: the caller streams the log in order and says what may be disclosed.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from audits.verifier import (
    MAX_ENTRY,
    MAX_LINE,
    TILE_WIDTH,
    Checkpoint,
    Filter,
    Scope,
    VerifierKey,
    canonical,
    leaf_hash,
    parse_envelope,
    parse_head,
    root_from_leaves,
    root_from_levels,
    split_bundle,
    tile_path,
    verify_checkpoint,
)

__all__ = [
    "Disclosure",
    "Show",
    "TileWriter",
    "event_line",
    "expected_tiles",
    "seal",
    "split_bundle",
    "tile_path",
    "write_export",
    "write_tiles",
]


def expected_tiles(size: int) -> dict[int, tuple[int, int]]:
    """Per tile level: how many full tiles a log of `size` entries has and how wide the partial one is (0:
    none).
    """
    shape = {}
    for level in range(8):
        hashes = size >> 8 * level
        if hashes:
            shape[level] = divmod(hashes, TILE_WIDTH)
    return shape


class TileWriter:
    """Writes tiles and entry bundles as entries come. Call `close` once, after the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self.size = 0

    def add(self, entry: bytes) -> None:
        """ValueError for an entry too long for its uint16 length."""
        if len(entry) > MAX_ENTRY:
            raise ValueError(f"an entry has at most {MAX_ENTRY:,} bytes")
        self._entries.append(entry)
        self._levels[0].append(leaf_hash(entry))
        self.size += 1
        if self.size % TILE_WIDTH == 0:
            self._bundle()
            self._full(0)

    def extend(self, entries: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """Many entries at once, none too long, whose leaf hashes are known."""
        start = 0
        while start < len(entries):
            stop = start + TILE_WIDTH - len(self._entries)
            self._entries += entries[start:stop]
            self._levels[0] += hashes[start:stop]
            self.size += len(entries[start:stop])
            if len(self._entries) == TILE_WIDTH:
                self._bundle()
                self._full(0)
            start = stop

    def state(self) -> list[list[str]]:
        """What `resume` needs. Only where `size` is a multiple of 256: nothing waits for its bundle then."""
        if self._entries:
            raise ValueError("a bundle is not full yet")
        return [[item.hex() for item in row] for row in self._levels]

    @classmethod
    def resume(cls, folder: Path, size: int, state: list[list[str]]) -> TileWriter:
        """Go on after `size` entries, whose tiles are in `folder`."""
        writer = cls(folder)
        writer.size, writer._levels = size, [[bytes.fromhex(item) for item in row] for row in state]
        return writer

    def close(self) -> bytes:
        """Write the partial tiles; the root (32 bytes)."""
        root = root_from_levels(self._levels)
        if self._entries:
            self._bundle()
        for level, row in enumerate(self._levels):
            if row:
                self._tile(level, row)
        return root

    def _full(self, level: int) -> None:
        row = self._levels[level]
        self._tile(level, row)
        self._levels[level] = []
        if level + 1 == len(self._levels):
            self._levels.append([])
        self._levels[level + 1].append(root_from_leaves(row))
        if len(self._levels[level + 1]) == TILE_WIDTH:
            self._full(level + 1)

    def _tile(self, level: int, row: list[bytes]) -> None:
        last = (self.size >> 8 * level) - 1
        self._write(tile_path(level, last // TILE_WIDTH, len(row)), b"".join(row))

    def _bundle(self) -> None:
        path = tile_path("entries", (self.size - 1) // TILE_WIDTH, len(self._entries))
        self._write(path, b"".join(len(entry).to_bytes(2, "big") + entry for entry in self._entries))
        self._entries = []

    def _write(self, relative: str, data: bytes) -> None:
        path = self._folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tiles(folder: Path, entries: Iterable[bytes], size: int) -> bytes:
    """Write the first `size` entries as tiles and bundles below `folder`; the root. ValueError if there are
    fewer.
    """
    writer = TileWriter(folder)
    for entry in islice(entries, size):
        writer.add(entry)
    if writer.size != size:
        raise ValueError(f"there are only {writer.size} entries of {size}")
    return writer.close()


@dataclass(frozen=True)
class Disclosure:
    """What an entry commits to. `head` and `rest` are the canonical bytes it was built from; salts have 16
    bytes.

    `rest` and `rest_salt` may be None where they are not handed out; `texts` maps a name to (text, salt) and
    holds only those the reader may see and that are not erased.
    """

    head: bytes
    head_salt: bytes
    subject_salt: bytes
    workspace_salt: bytes
    rest: bytes | None = None
    rest_salt: bytes | None = None
    texts: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def event_line(index: int, disclosure: Disclosure, *, with_rest: bool) -> bytes:
    """One line of events.jsonl with its newline. ValueError where the rest is wanted and not there, or too
    long.

    Head and rest go in as the bytes that were committed to, never written anew.
    """
    parts = [
        b'{"head":%b,"head_salt":"%b","index":%d'
        % (disclosure.head, disclosure.head_salt.hex().encode(), index)
    ]
    if with_rest:
        if disclosure.rest is None or disclosure.rest_salt is None:
            raise ValueError(f"entry {index} is to be disclosed, but its rest or the salt of it is missing")
        parts.append(b'"rest":%b,"rest_salt":"%b"' % (disclosure.rest, disclosure.rest_salt.hex().encode()))
    parts.append(b'"subject_salt":"%b"' % disclosure.subject_salt.hex().encode())
    if with_rest and disclosure.texts:
        texts = {name: {"salt": salt.hex(), "text": text} for name, (text, salt) in disclosure.texts.items()}
        parts.append(b'"texts":%b' % canonical(texts))
    parts.append(b'"workspace_salt":"%b"}\n' % disclosure.workspace_salt.hex().encode())
    line = b",".join(parts)
    if len(line) > MAX_LINE:
        raise ValueError(f"entry {index} does not fit a line of {MAX_LINE:,} bytes")
    return line


Show = Literal["nothing", "head", "rest"]


class _Chooser:
    """What is disclosed of an entry: by scope and filter, or, without completeness, as the caller says."""

    def __init__(
        self,
        scope: Mapping[str, Any] | None,
        chosen: Mapping[str, Any] | None,
        choose: Callable[[int, Disclosure], Show] | None,
    ) -> None:
        self.choose = choose
        if (scope is None, chosen is None) != (choose is not None, choose is not None):
            raise ValueError("an export has a scope and a filter, or a choice of its own and no completeness")
        self.scope = None if scope is None else Scope(scope)
        self.filter = None if chosen is None else Filter(chosen)
        self.completeness = "none"
        if self.scope is not None and self.filter is not None:
            whole = self.scope.kind == "log" and self.filter.everything
            self.completeness = "full" if whole else "filtered"

    def __call__(self, index: int, envelope: bytes, disclosure: Disclosure | None) -> Show:
        if self.choose is not None:
            return "nothing" if disclosure is None else self.choose(index, disclosure)
        assert self.scope is not None  # noqa: S101 - the constructor saw to it
        assert self.filter is not None  # noqa: S101
        entry = parse_envelope(envelope)
        if self.scope.key(entry.workspace, entry.subject) is None:
            return "nothing"
        if disclosure is None:
            raise ValueError(f"entry {index} is in scope, but its head is missing")
        return "rest" if self.filter.matches(parse_head(disclosure.head), index) else "head"


def write_export(
    folder: Path,
    *,
    checkpoint: bytes,
    vkey: str,
    events: Iterable[tuple[bytes, Disclosure | None]],
    scope: Mapping[str, Any] | None,
    filter: Mapping[str, Any] | None,
    stated: Mapping[str, Any],
    choose: Callable[[int, Disclosure], Show] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write a verifiable export into the empty `folder`; the manifest (export.json) as it was written, last.

    `events` gives every envelope of the log in order with what may be disclosed of it, None outside the
    scope. `scope` and `filter` have the forms of `verifier.Scope` and `verifier.Filter`; both None with
    `choose`, for an export that cannot prove its completeness. `stated` is free JSON (query, parameters, time
    zone …) and is marked as not proved. `progress` is called with the number of entries done after every
    bundle.

    Raises ValueError, and leaves no export.json, when the entries do not hash to the checkpoint, the
    checkpoint is not signed by `vkey` (SignatureMismatchError), or something that is to be disclosed is
    missing.
    """
    state = verify_checkpoint(checkpoint, VerifierKey.parse(vkey))
    chooser = _Chooser(scope, filter, choose)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    writer, counts, heads = TileWriter(folder), Counter[str](), 0
    with (folder / "events.jsonl").open("wb") as lines:
        for index, (envelope, disclosure) in enumerate(islice(events, state.size)):
            writer.add(envelope)
            show = chooser(index, envelope, disclosure)
            if disclosure is not None and show != "nothing":
                lines.write(event_line(index, disclosure, with_rest=show == "rest"))
                heads += 1
                if show == "rest":
                    counts[parse_head(disclosure.head).verb] += 1
            if progress is not None and writer.size % TILE_WIDTH == 0:
                progress(writer.size)
    if (writer.size, writer.close()) != (state.size, state.root):
        raise ValueError("the entries are not those the checkpoint signs")
    manifest = seal(
        folder,
        checkpoint=checkpoint,
        vkey=vkey,
        log=state,
        manifest={
            "completeness": chooser.completeness,
            "counts": dict(counts),
            "filter": filter,
            "heads": heads,
            "matches": counts.total(),
            "scope": scope,
            "stated": stated,
        },
    )
    return manifest


def seal(
    folder: Path, *, checkpoint: bytes, vkey: str, log: Checkpoint, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the last files of an export; its whole manifest."""
    whole = {
        **manifest,
        "log": {"origin": log.origin, "root": base64.b64encode(log.root).decode(), "size": log.size},
        "v": 1,
    }
    (folder / "vkey").write_text(vkey.strip() + "\n")
    (folder / "checkpoint").write_bytes(checkpoint)
    (folder / "export.json").write_bytes(canonical(whole) + b"\n")
    return whole
