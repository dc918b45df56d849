"""Thousands of random changes to exports: each one found, and where. Honest exports never alarm."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits.verifier
from audits.ledger.tiles import split_bundle, write_tiles
from audits.verifier import UnreadableError, verify_export
from tests.ledger.support import VKEY, Log, change_json, check, subject_scope, workspace_scope
from tests.ledger.test_verifier import reseal

ROUNDS = 600
SIZE = 23
LOG = Log.make(SIZE, subjects=5)
FILTERS: list[dict[str, Any]] = [
    {},
    {"verb": ["promotion.granted"]},
    {"outcome": ["refused"]},
    {"actor": [{"kind": "person"}]},
    {"subject": [{"id": "s1"}]},
    {"sample": {"per_million": 400_000, "seed": "42"}},
    {"from": "2026-03-01T12:05:00.000000Z", "to": "2026-03-01T12:15:00.000000Z"},
]
SCOPES: list[Callable[[], dict[str, Any]]] = [
    lambda: {"kind": "log"},
    lambda: workspace_scope(0),
    lambda: subject_scope(1, 3),
]


def bundle_of(folder: Path) -> Path:
    return folder / "tile" / "entries" / "000.p" / str(SIZE)


class Forger:
    """One random change of an export. `where`: what the report must name, where the change has a place."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.kept = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        self.lines = self.kept[folder / "events.jsonl"].splitlines(keepends=True)

    def undo(self) -> None:
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            if path not in self.kept:
                path.unlink()
        for path, data in self.kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)

    def a_byte(self) -> tuple[str, str] | None:
        path = self.random.choice(sorted(self.kept))
        data = self.kept[path]
        at = self.random.randrange(len(data))
        if path.name == "export.json" and at >= data.index(b'"stated"'):
            return None  # said by the exporter, and marked as proved by nothing
        changed = bytearray(data)
        how = self.random.choice(["flip", "insert", "remove", "cut"])
        if how == "flip":
            changed[at] ^= 1 << self.random.randrange(8)
        elif how == "insert":
            changed.insert(at, self.random.randrange(256))
        elif how == "remove":
            del changed[at]
        else:
            del changed[at:]
        if bytes(changed) == data or (path.name == "vkey" and bytes(changed) == data[:-1]):
            return None  # the last newline of a key is optional
        path.write_bytes(changed)
        return f"{how} byte {at} of {path.name}", ""

    def a_line(self) -> tuple[str, str] | None:
        """Lines of events.jsonl dropped, doubled, swapped, or parts of them exchanged: all well-formed."""
        lines = list(self.lines)
        if len(lines) < 2:
            return None
        one, two = sorted(self.random.sample(range(len(lines)), 2))
        how = self.random.choice(["drop", "double", "swap", "rest", "head"])
        if how == "drop":
            del lines[one]
        elif how == "double":
            lines.insert(two, lines[one])
        elif how == "swap":
            lines[one], lines[two] = lines[two], lines[one]
        else:
            mark = b',"rest":' if how == "rest" else b',"head_salt"'
            if mark not in lines[one] or mark not in lines[two]:
                return None
            a, b = lines[one].index(mark), lines[two].index(mark)
            if how == "rest":  # the rest of one with the head of the other
                lines[one] = lines[one][:a] + lines[two][b:]
            elif lines[one][:a] == lines[two][:b]:
                return None
            else:
                lines[one] = lines[two][:b] + lines[one][a:]
        (self.folder / "events.jsonl").write_bytes(b"".join(lines))
        return f"{how} lines {one}, {two}", "entry "

    def an_entry(self) -> tuple[str, str]:
        """Another envelope in the log, with every tile made anew: without the key, and with it."""
        entries = split_bundle(self.kept[bundle_of(self.folder)])
        one, two = sorted(self.random.sample(range(SIZE), 2))
        how = self.random.choice(["swap", "replace", "move", "repeat"])
        if how == "swap":
            entries[one], entries[two] = entries[two], entries[one]
        elif how == "replace":
            at = entries[one].index(b'"rest":"') + 8
            digit = b"1" if entries[one][at : at + 1] == b"0" else b"0"
            entries[one] = entries[one][:at] + digit + entries[one][at + 1 :]
        elif how == "move":
            entries.insert(two, entries.pop(one))
        else:
            entries[two] = entries[one]
        if self.random.random() < 0.5:
            reseal(self.folder, entries)
            return f"{how} entries {one}, {two}, signed again", "of the earlier checkpoint"
        write_tiles(self.folder, entries, SIZE)
        return f"{how} entries {one}, {two}", "the entries hash to"

    def a_rollback(self) -> tuple[str, str]:
        """A genuine, but shorter log, signed: an old backup."""
        reseal(self.folder, split_bundle(self.kept[bundle_of(self.folder)])[: self.random.randrange(1, SIZE)])
        return "rolled back", "covers"

    def a_promise(self) -> tuple[str, str] | None:
        """export.json says that something else was exported than was."""
        before = self.kept[self.folder / "export.json"]
        wanted = self.random.choice(FILTERS)

        def change(value: dict[str, Any]) -> None:
            if value["scope"] == {"kind": "log"}:
                value["completeness"] = "filtered" if wanted else "full"
            value["filter"] = wanted

        change_json(self.folder, change)
        if (self.folder / "export.json").read_bytes() == before:
            return None
        return f"says the filter is {wanted}", "filter"

    def any(self) -> tuple[str, str] | None:
        moves = [
            self.a_byte,
            self.a_byte,
            self.a_line,
            self.a_line,
            self.an_entry,
            self.a_rollback,
            self.a_promise,
        ]
        return self.random.choice(moves)()


@pytest.mark.parametrize("seed", range(5))
def test_every_change_is_found_and_named(tmp_path: Path, seed: int) -> None:
    """With a checkpoint that somebody else kept, and the key from elsewhere."""
    chance = random.Random(seed)
    folder = LOG.export(tmp_path / "export", SCOPES[seed % 3](), FILTERS[chance.randrange(len(FILTERS))])
    kept = LOG.checkpoint(SIZE)
    assert check(folder, kept).verified
    forger, done, missed = Forger(folder, seed), 0, []
    while done < ROUNDS:
        change = forger.any()
        if change is None:
            continue
        what, where = change
        try:
            report = verify_export(folder, VKEY, kept)
        except UnreadableError:
            pass  # no verdict, and no success
        else:
            told = "\n".join(map(str, report.problems))
            if report.verified:
                missed.append(f"not found: {what}")
            elif where not in told:
                missed.append(f"not named: {what}: {told[:200]}")
        forger.undo()
        done += 1
    assert missed == []
    assert check(folder, kept).verified


@pytest.mark.parametrize("seed", range(3))
def test_honest_exports_never_alarm(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(25):
        size = chance.randrange(1, 300)
        log = Log.make(size, subjects=chance.randrange(4, 9))
        sizes = [chance.randrange(1, size + 1) for _ in range(3)]
        folder = log.export(
            tmp_path / str(number), SCOPES[chance.randrange(2)](), chance.choice(FILTERS), size
        )
        for earlier in sizes:
            report = check(folder, log.checkpoint(earlier))
            # A scope that no entry has cannot be told from a salt that was changed.
            assert [found for found in report.problems if found.code != "scope_unknown"] == []


# --- several processes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BIG.export(tmp_path_factory.mktemp("large") / "export", workspace_scope(0), FILTERS[2])


BIG = Log.make(4_500, subjects=41)


@pytest.mark.parametrize("earlier", [None, 1, 255, 256, 257, 4_096, 4_351, 4_352, 4_499, 4_500])
def test_several_processes_say_the_same(
    large: Path, monkeypatch: pytest.MonkeyPatch, earlier: int | None
) -> None:
    kept = None if earlier is None else BIG.checkpoint(earlier)
    alone = verify_export(large, VKEY, kept)
    with monkeypatch.context() as patch:
        patch.setattr(audits.verifier._Walk, "run", lambda *_: pytest.fail("one process did it after all"))
        together = verify_export(large, VKEY, kept, jobs=2)
    assert together == alone
    assert alone.verified


def test_several_processes_find_what_one_finds(large: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(large, folder)
    chance = random.Random(7)
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    places = sorted(path for path in folder.rglob("*") if path.is_file() and "tile" in path.parts)
    for _ in range(14):
        at = chance.randrange(len(lines) - 1)
        path = chance.choice([folder / "events.jsonl", chance.choice(places)])
        data = path.read_bytes()
        if path.name == "events.jsonl":
            other = [*lines]
            move = chance.choice(["drop", "swap", "far", "double"])
            if move == "drop":
                del other[at]
            elif move == "swap":
                other[at], other[at + 1] = other[at + 1], other[at]
            elif move == "far":
                other.append(other.pop(at))
            else:
                other.insert(at, other[at])
            path.write_bytes(b"".join(other))
        else:
            place = chance.randrange(len(data))
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert outcome(folder, 2) == outcome(folder, 1) != "verified"
        path.write_bytes(data)
    forked = BIG.checkpoint(4_400)
    other_log = Log.make(4_400, subjects=40).checkpoint(4_400)
    assert verify_export(folder, VKEY, forked, jobs=2).verified
    assert "history_differs" in {
        found.code for found in verify_export(folder, VKEY, other_log, jobs=2).problems
    }


def outcome(folder: Path, jobs: int) -> Any:
    try:
        report = verify_export(folder, VKEY, None, jobs)
    except UnreadableError as error:
        return str(error)
    return "verified" if report.verified else report
