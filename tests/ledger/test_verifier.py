"""The verifier as an auditor runs it, on honest exports and on every way we know to forge one."""

from __future__ import annotations

import base64
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits.verifier
from audits.ledger.canonical import canonical
from audits.ledger.note import Checkpoint, SignerKey, make_receipt, sign_checkpoint
from audits.ledger.tiles import event_line, write_tiles
from audits.ledger.tree import inclusion_proof, leaf_hash, root_from_leaves
from audits.verifier import UnreadableError, main, verify_export
from tests.ledger.support import (
    ORIGIN,
    SIGNER,
    STATED,
    VKEY,
    Log,
    change_json,
    check,
    codes,
    rewrite_lines,
)
from tests.ledger.test_tree import Store

LOG = Log.make(12)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return LOG.export(tmp_path / "export")


def reseal(folder: Path, envelopes: list[bytes], signer: SignerKey = SIGNER) -> None:
    """What an operator with the key can do: new tiles and a new checkpoint over other entries."""
    shutil.rmtree(folder / "tile")
    root = write_tiles(folder, envelopes, len(envelopes))
    (folder / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, len(envelopes), root), signer))
    (folder / "vkey").write_text(f"{signer.vkey}\n")

    def log(value: dict[str, Any]) -> None:
        value["log"] = {
            "origin": ORIGIN,
            "root": base64.b64encode(root).decode(),
            "size": len(envelopes),
        }

    change_json(folder, log)


# --- honest exports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 513])
def test_an_honest_export_verifies(tmp_path: Path, size: int) -> None:
    log = Log.make(size, subjects=7)
    report = check(log.export(tmp_path / "x"))
    assert (report.exit_code, report.problems, report.warnings) == (0, [], [])
    assert (report.origin, report.size, report.completeness) == (ORIGIN, size, "full")
    assert report.root == root_from_leaves([leaf_hash(item) for item in log.envelopes])
    assert (report.heads, report.matches, sum(report.counts.values())) == (size, size, size)
    assert report.key_checked
    assert report.stated == STATED


def test_a_log_larger_than_a_tile_of_tiles(tmp_path: Path) -> None:
    """65,537 entries have three tile levels; heads out of scope are not needed to walk them."""
    log = Log.make(4)
    many = log.envelopes[:4]
    filler = [item.replace(b'"v":1', b'"v":2') for item in [log.envelopes[0]]]
    entries = many + filler * (65_537 - 4)
    root = write_tiles(tmp_path / "x", entries, len(entries))
    (tmp_path / "x" / "vkey").write_text(VKEY)
    note = sign_checkpoint(Checkpoint(ORIGIN, len(entries), root), SIGNER)
    (tmp_path / "x" / "checkpoint").write_bytes(note)
    (tmp_path / "x" / "events.jsonl").write_bytes(b"")
    manifest = {"completeness": "none", "counts": {}, "filter": None, "heads": 0, "matches": 0, "scope": None}
    manifest |= {"stated": {}, "v": 1}
    manifest["log"] = {"origin": ORIGIN, "root": base64.b64encode(root).decode(), "size": 65_537}
    (tmp_path / "x" / "export.json").write_bytes(canonical(manifest))
    report = check(tmp_path / "x")
    # The tree is right in every tile; the filler is no envelope, each said (the first hundred) and counted
    # (all).
    assert set(codes(report)) == {"envelope_malformed"}
    assert (report.problem_count, len(report.problems)) == (65_533, 100)
    tile = tmp_path / "x" / "tile/1/000"
    tile.write_bytes(tile.read_bytes()[:-1] + b"\0")
    report = check(tmp_path / "x")
    assert report.problem_count == 65_534


def test_events_out_of_causal_order_verify(tmp_path: Path) -> None:
    """Transaction ids are not causal: a subject's events may become leaves in another order than they
    happened.
    """
    log = Log.make(30, subjects=3)
    order = list(range(30))
    random.Random(7).shuffle(order)
    log.envelopes = [log.envelopes[i] for i in order]
    log.disclosures = [log.disclosures[i] for i in order]
    assert check(log.export(tmp_path / "x")).verified


def test_without_a_key_of_its_own_it_says_so_loudly(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = verify_export(export)
    assert report.verified
    assert not report.key_checked
    assert report.warnings[0].startswith("THE KEY WAS NOT CHECKED")
    assert main([str(export)]) == 0
    assert "warning: THE KEY WAS NOT CHECKED" in capsys.readouterr().err


# --- the command, in a process of its own ------------------------------------------------------------------


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The file alone, isolated from this checkout: as a stranger runs it."""
    program = Path(audits.verifier.__file__)
    return subprocess.run(
        [sys.executable, "-I", str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )


def test_the_command_verifies_and_refuses(export: Path, tmp_path: Path) -> None:
    done = run(export, "--vkey", VKEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"verified: {ORIGIN}, 12 entries, root ")
    assert "3  promotion.granted" in done.stdout
    (tmp_path / "key").write_text(VKEY + "\n")
    (tmp_path / "earlier").write_bytes(LOG.checkpoint(5))
    done = run(export, "--vkey", tmp_path / "key", "--previous", tmp_path / "earlier")
    assert done.returncode == 0
    assert "only grew since the earlier checkpoint of 5 entries" in done.stdout
    rewrite_lines(export, lambda lines: lines[:4] + lines[5:])
    done = run(export, "--vkey", VKEY)
    assert done.returncode == 1
    assert done.stdout.startswith("TAMPERED")
    assert (
        "entry 4: it is in the export's scope, but events.jsonl does not disclose it [head_missing]"
        in done.stdout
    )
    done = run(tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"unreadable: {tmp_path}/nowhere is not a folder\n"
    assert run(export, "--vkey", tmp_path / "nokey").returncode == 2
    assert run(export, "--previous", tmp_path / "nothing").returncode == 2
    assert run().returncode == 2


def test_the_command_verifies_a_receipt(tmp_path: Path) -> None:
    entry = LOG.envelopes[7]
    proof = inclusion_proof(7, 12, Store(LOG.envelopes))
    path = tmp_path / "r.tlog-proof"
    good = make_receipt(leaf_hash(entry), 7, proof, LOG.checkpoint(), extra=entry)
    path.write_bytes(good)
    done = run(path, "--vkey", VKEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"verified: entry 7 of 12 in {ORIGIN}\n")
    assert entry.decode() in done.stdout
    path.write_bytes(good.replace(b"index 7", b"index 6"))
    assert run(path, "--vkey", VKEY).returncode == 1
    path.write_bytes(good[:200])
    assert run(path, "--vkey", VKEY).returncode == 2
    assert run(path).returncode == 2


# --- key, checkpoint and history ---------------------------------------------------------------------------


def test_another_key_is_not_believed(export: Path) -> None:
    impostor = SignerKey.generate(ORIGIN)
    reseal(export, LOG.envelopes, impostor)
    assert verify_export(export).verified  # consistent in itself: hence the warning
    assert codes(check(export)) == ["key_differs", "signature"]


def test_an_earlier_checkpoint_catches_a_rewritten_history(export: Path) -> None:
    for size in range(13):
        report = check(export, LOG.checkpoint(size))
        assert (report.verified, report.previous_size) == (True, size)
    # The operator, with the key, swaps the first two events of different subjects and signs again.
    swapped = [LOG.envelopes[1], LOG.envelopes[0], *LOG.envelopes[2:]]
    reseal(export, swapped)
    lines = [event_line(i, LOG.disclosures[k], with_rest=True) for i, k in enumerate([1, 0, *range(2, 12)])]
    (export / "events.jsonl").write_bytes(b"".join(lines))
    assert check(export).verified
    assert codes(check(export, LOG.checkpoint(1))) == ["history_differs"]
    assert check(export, LOG.checkpoint(2)).exit_code == 1


def test_yesterdays_backup_is_caught(tmp_path: Path) -> None:
    report = check(LOG.export(tmp_path / "x", size=8), LOG.checkpoint(12))
    assert codes(report) == ["rolled_back"]


def test_an_earlier_checkpoint_of_another_log_or_hand(export: Path) -> None:
    other = SignerKey.generate("other.example/log")
    assert "signature" in codes(check(export, LOG.checkpoint(5, other)))
    forged = LOG.checkpoint(5).replace(b"\n5\n", b"\n6\n")
    assert "signature" in codes(check(export, forged))
    with pytest.raises(UnreadableError, match="earlier checkpoint"):
        check(export, b"nonsense")
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, b"\1" * 32), SIGNER)
    assert codes(check(export, empty)) == ["history_differs"]


# --- what happened to the events ---------------------------------------------------------------------------


def test_an_event_taken_out_before_its_checkpoint_leaves_a_gap(tmp_path: Path) -> None:
    log = Log.make(12)
    del log.envelopes[3], log.disclosures[3]  # number 2 of subject 0; its numbers 3 and 4 survive
    report = check(log.export(tmp_path / "x"))
    assert codes(report) == ["seq_missing"]
    assert report.problems[0].index == 5
    assert "number 3 of its subject" in report.problems[0].sentence
    assert "no number 2" in report.problems[0].sentence


def test_an_event_logged_twice_or_rewritten_under_the_same_number(tmp_path: Path) -> None:
    log = Log.make(6)
    log.envelopes.append(log.envelopes[2])
    log.disclosures.append(log.disclosures[2])
    report = check(log.export(tmp_path / "x"))
    assert [(item.code, item.index) for item in report.problems] == [("seq_repeated", 6)]


def test_a_rewritten_event_breaks_the_next_ones_link(tmp_path: Path) -> None:
    log = Log.make(9)
    digits = log.envelopes[0].index(b'"rest":"') + 8
    changed = bytearray(log.envelopes[0])
    changed[digits : digits + 4] = b"0000"
    log.envelopes[0] = bytes(changed)
    report = check(log.export(tmp_path / "x"))
    assert [(item.code, item.index) for item in report.problems] == [
        ("rest_differs", 0),
        ("previous_differs", 3),
    ]


def at(place: int, change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[:place], change(lines[place]), *lines[place + 1 :]]


def cut_rest(line: bytes) -> bytes:
    return line[: line.index(b'"rest":')] + line[line.index(b'"subject_salt"') :]


GONE = {"head_missing", "manifest_differs"}
BAD = {"line_malformed", *GONE}
MOVED = {"head_differs", "rest_differs", "manifest_differs", "subject_differs", "workspace_differs"}
LINE_ATTACKS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], set[str]]] = {
    "drop the first": (lambda x: x[1:], GONE),
    "drop the last": (lambda x: x[:-1], GONE),
    "drop one": (lambda x: x[:5] + x[6:], GONE),
    "drop all": (lambda x: [], GONE),
    "repeat one": (lambda x: [*x[:5], x[4], *x[5:]], {"line_order"}),
    "swap two": (lambda x: [*x[:5], x[6], x[5], *x[7:]], {"line_order", *GONE}),
    "reverse": (lambda x: x[::-1], {"line_order", *GONE}),
    "one beyond": (lambda x: [*x, x[-1].replace(b'"index":11', b'"index":12')], {"line_beyond"}),
    "empty line": (lambda x: [*x[:5], b"\n", *x[5:]], {"line_malformed"}),
    "truncated": (lambda x: [*x[:-1], x[-1][:-40]], {"line_truncated", *BAD}),
    "no final newline": (lambda x: [*x[:-1], x[-1][:-1]], {"line_truncated"}),
    "carriage returns": (lambda x: [i[:-1] + b"\r\n" for i in x], BAD),
    "renumber": (at(5, lambda x: x.replace(b'"index":5', b'"index":05')), BAD),
    "another's place": (
        lambda x: [*x[:5], x[7].replace(b'"index":7', b'"index":5'), *x[6:]],
        MOVED,
    ),
    "drop the rest": (at(5, cut_rest), {"match_missing", "text_without_rest", "manifest_differs"}),
    "change a text": (at(5, lambda x: x.replace("está".encode(), "estã".encode())), {"text_differs"}),
    "rename a text": (
        at(5, lambda x: x.replace(b'"texts":{"reason":{', b'"texts":{"comment":{')),
        {"text_differs"},
    ),
    "a float spelt otherwise": (at(5, lambda x: x.replace(b"0.12", b"0.120")), BAD),
    "a number changed": (at(5, lambda x: x.replace(b"0.12", b"0.02")), {"rest_differs"}),
    "a verb changed": (
        at(3, lambda x: x.replace(b"promotion.refused", b"promotion.granted")),
        {"head_differs", "manifest_differs"},
    ),
    "a member twice": (at(5, lambda x: x.replace(b'"detail":{', b'"detail":{"environment":"test",')), BAD),
    "a salt": (at(5, lambda x: x.replace(b'"head_salt":"', b'"head_salt":"0')), BAD),
}


@pytest.mark.parametrize("name", LINE_ATTACKS)
def test_attacks_on_the_lines(export: Path, name: str) -> None:
    attack, expected = LINE_ATTACKS[name]
    before = (export / "events.jsonl").read_bytes()
    rewrite_lines(export, attack)
    assert (export / "events.jsonl").read_bytes() != before
    report = check(export)
    assert report.exit_code == 1
    assert set(codes(report)) == expected


def test_texts_may_be_withheld_or_erased_without_harm(tmp_path: Path) -> None:
    log = Log.make(6)
    for item in log.disclosures:
        object.__setattr__(item, "texts", {})
    assert check(log.export(tmp_path / "x")).verified
