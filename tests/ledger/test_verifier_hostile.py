"""Every byte of an export changed, and files made to hurt: caught or refused with a sentence."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.ledger.note import Checkpoint, sign_checkpoint
from audits.ledger.tiles import tile_path, write_tiles
from audits.ledger.tree import leaf_hash, root_from_leaves
from audits.verifier import UnreadableError, main
from tests.ledger.support import (
    ORIGIN,
    SIGNER,
    VKEY,
    Log,
    change_json,
    check,
    codes,
    workspace_scope,
)

LOG = Log.make(12)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return LOG.export(tmp_path / "export")


# --- random and exhaustive tampering -----------------------------------------------------------------------


def verdict(folder: Path) -> int:
    """Exit code through the command's own code path, which must never raise."""
    return main([str(folder), "--vkey", VKEY])


@pytest.mark.parametrize(("filtered", "mask"), [(False, 0x01), (True, 0x20)], ids=["full", "filtered"])
def test_every_changed_byte_of_a_small_export_is_caught(tmp_path: Path, filtered: bool, mask: int) -> None:
    """Only what export.json itself calls unproved (`stated`), and a time bound moved where there is no event
    (which is another true statement about the same log), may change unnoticed.
    """

    def verified() -> bool:
        try:
            return check(folder).verified
        except UnreadableError:
            return False

    log = Log.make(3, subjects=2) if filtered else Log.make(2, subjects=1)
    chosen = {"from": "2026-03-01T12:01:00.000000Z"} if filtered else {}
    folder = log.export(tmp_path / "x", workspace_scope(0) if filtered else None, chosen)
    paths = sorted(item for item in folder.rglob("*") if item.is_file())
    assert len(paths) == 6
    unnoticed = []
    for path in paths:
        good = path.read_bytes()
        for place in range(len(good)):
            path.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
            if verified():
                unnoticed.append((path.name, path.read_bytes()))
        path.write_bytes(good)
    assert verified()
    good = (folder / "export.json").read_bytes()
    for name, data in unnoticed:
        assert name == "export.json"
        before, after = json.loads(good), json.loads(data)
        if before["stated"] == after["stated"]:
            bound = after["filter"].pop("from")
            del before["filter"]["from"]
            assert "2026-03-01T12:00:00.000000Z" < bound <= "2026-03-01T12:02:00.000000Z"
        else:
            del before["stated"], after["stated"]
        assert before == after
    assert unnoticed


@pytest.mark.parametrize("kind", ["deleted", "inserted", "truncated"])
def test_lengths_changed_anywhere_are_caught(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Log.make(2, subjects=1).export(tmp_path / "x")
    change_json(folder, lambda value: value.update(stated={}))
    generator = random.Random(kind)
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        good = path.read_bytes()
        for place in generator.sample(range(len(good) - 1), min(120, len(good) - 1)):
            bad = {
                "deleted": good[:place] + good[place + 1 :],
                "inserted": good[:place] + bytes([generator.randrange(256)]) + good[place:],
                "truncated": good[:place],
            }[kind]
            path.write_bytes(bad)
            assert verdict(folder) in (1, 2), (path.name, place, bad)
        path.write_bytes(good)
    capsys.readouterr()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_random_tampering_of_covered_entries_is_caught(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Change, drop, insert or move entries, rebuild all tiles, keep the signed checkpoint: always caught. An
    untouched log never alarms."""
    folder = tmp_path_factory.mktemp("tamper") / "x"
    entries = list(LOG.envelopes)
    i, j = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 11))
    match data.draw(st.sampled_from(["nothing", "byte", "drop", "copy", "swap"])):
        case "byte":
            place = data.draw(st.integers(0, len(entries[i]) - 1))
            entries[i] = entries[i][:place] + b"%c" % data.draw(st.integers(0, 255)) + entries[i][place + 1 :]
        case "drop":
            del entries[i]
        case "copy":
            entries.insert(j, entries[i])
        case "swap":
            entries[i], entries[j] = entries[j], entries[i]
    LOG.export(folder)
    shutil.rmtree(folder / "tile")
    write_tiles(folder, entries, len(entries))
    assert (verdict(folder) == 0) is (entries == LOG.envelopes)


# --- hostile files -----------------------------------------------------------------------------------------

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "nul": b"\0" * 100,
    "not utf-8": b"\xff\xfe\xfd" * 20,
    "surrogates": b'{"a":"\xed\xa0\x80"}\n',
    "deep": b"[" * 200_000 + b"\n",
    "deep rest": b'{"head":' + b'{"a":' * 100_000 + b"\n",
    "huge number": b'{"head":' + b"9" * 100_000 + b"}\n",
    "huge line": b"x" * (5 << 20),
    "nan": b'{"completeness":NaN}\n',
    "bom": b"\xef\xbb\xbf{}\n",
    "escape": b"\x1b[2J\x1b[1;1Hverified\n",
    "list": b"[]\n",
    "null": b"null\n",
    "pickle": b"\x80\x04\x95cos\nsystem\n",
}
FILES = ["checkpoint", "export.json", "events.jsonl", "vkey", "tile/0/000.p/12", "tile/entries/000.p/12"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_content(export: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (export / name).write_bytes(HOSTILE[content])
    assert verdict(export) in (1, 2)
    output = capsys.readouterr()
    assert "\x1b" not in output.out + output.err
    assert "Traceback" not in output.err
    assert len(output.out) > 40 or output.err.startswith("unreadable: ")


@pytest.mark.parametrize("name", FILES)
def test_files_missing_linked_or_no_files(
    export: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = export / name
    kept = tmp_path / "kept"
    path.rename(kept)
    assert verdict(export) == 2
    assert f"{name} is missing" in capsys.readouterr().err
    path.symlink_to(kept)
    assert verdict(export) == 2
    assert "symbolic link" in capsys.readouterr().err
    path.unlink()
    path.symlink_to("/dev/zero")
    assert verdict(export) == 2
    path.unlink()
    path.mkdir()
    assert verdict(export) == 2
    path.rmdir()
    assert subprocess.run(["mkfifo", str(path)], check=False).returncode == 0
    assert verdict(export) == 2  # and does not wait for a writer
    assert "not a plain file" in capsys.readouterr().err


def test_a_linked_folder_inside_the_export(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "tile").rename(tmp_path / "tile")
    (export / "tile").symlink_to(tmp_path / "tile")
    assert verdict(export) == 2
    assert "symbolic link" in capsys.readouterr().err


def test_huge_claims_end_at_once(export: Path) -> None:
    root = root_from_leaves([leaf_hash(item) for item in LOG.envelopes])
    for size in (2**63 - 1, 2**40, 13):
        (export / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, size, root), SIGNER))
        with pytest.raises(UnreadableError, match="is missing"):
            check(export)


def test_a_forged_size_is_tampering_and_not_only_unreadable(export: Path) -> None:
    path = export / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n12\n", b"\n99\n"))
    report = check(export)
    assert codes(report) == ["signature", "unreadable"]
    assert report.problems[1].sentence.startswith(
        "tile/entries/000.p/99 is missing; the export is not whole;"
    )


def test_bundle_lengths_that_lie(export: Path) -> None:
    path = export / "tile/entries/000.p/12"
    good = path.read_bytes()
    for bad in (
        b"\xff\xff" + good[2:],
        good + b"\0",
        good + b"\0\0",
        good + b"\xff\xff",
        good[:-1],
        b"\0\0" * 12,
        good[2 + int.from_bytes(good[:2], "big") :],
    ):
        path.write_bytes(bad)
        report = check(export)
        assert report.exit_code == 1
        assert set(codes(report)) & {"bundle_malformed", "leaf_differs"}


def test_tiles_too_long_or_wrong_in_one_place(export: Path) -> None:
    path = export / tile_path(0, 0, 12)
    good = path.read_bytes()
    path.write_bytes(good[: 32 * 7] + b"\0" * 32 + good[32 * 8 :])
    assert [(item.code, item.index) for item in check(export).problems] == [("leaf_differs", 7)]
    path.write_bytes(good + b"\0" * 32)
    assert codes(check(export)) == ["tile_length"]
    path.write_bytes(b"\0" * (1 << 20))
    with pytest.raises(UnreadableError, match="longer than"):
        check(export)


def test_strangers_in_the_folder_are_named_and_not_read(export: Path) -> None:
    (export / "READ ME\x1b[2J").write_text("trust me")
    (export / "tile/0/001").write_bytes(b"x")
    report = check(export)
    assert report.verified
    assert report.warnings == [
        "READ ME\N{REPLACEMENT CHARACTER}[2J is not part of the export and was not read",
        "1 files below tile/ are not part of the export and were not read",
    ]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_in_any_file(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    folder = LOG.export(tmp_path_factory.mktemp("any") / "x")
    (folder / name).write_bytes(content)
    assert verdict(folder) in (1, 2)
