"""A stranger verifies: the one file, on a machine that has Python and `cryptography`, and nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from audits import verifier
from audits.ledger.notary import Notary
from audits.ledger.receipts import receipt_for
from audits.ledger.signing import checkpoint_key
from audits.models import Event
from tests.audits.test_exports import ask, lines, made, unpacked
from tests.audits.trail import write
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
NEEDED = ("cryptography", "cffi", "_cffi_backend*", "pycparser")
PROGRAM = """
import importlib.util, runpy, sys
sys.path.append(sys.argv.pop(1))
assert not any(map(importlib.util.find_spec, ("django", "audits", "governance", "rfc8785"))), sys.path
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


class Stranger:
    """Another machine: a folder with the verifier, the key of the log, and the one package it needs."""

    def __init__(self, home: Path) -> None:
        self.home, self.packages = home, home / "packages"
        self.packages.mkdir(parents=True)
        installed = {Path(sysconfig.get_paths()[name]) for name in ("purelib", "platlib")}
        for folder in installed:
            for pattern in NEEDED:
                for found in folder.glob(pattern):
                    (self.packages / found.name).symlink_to(found)
        shutil.copy(verifier.__file__, home / "verifier.py")
        (home / "log.vkey").write_text(f"{checkpoint_key().vkey}\n")

    def verify(self, *arguments: Any) -> subprocess.CompletedProcess[str]:
        """`-I -S`: neither the environment, nor the folder it is in, nor site-packages."""
        command = [sys.executable, "-I", "-S", "-c", PROGRAM, self.packages, "verifier.py", *arguments]
        return subprocess.run(
            [*map(str, command), "--vkey", "log.vkey"],
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
        )


@pytest.fixture
def stranger(cast: Cast, notary: Notary, tmp_path: Path) -> Stranger:
    return Stranger(tmp_path / "elsewhere")


def handed_over(cast: Cast, stranger: Stranger, name: str, **query: Any) -> Path:
    return unpacked(made(ask(cast, **query)), stranger.home / name)


def test_full_filtered_and_sampled(cast: Cast, notary: Notary, stranger: Stranger) -> None:
    write(6, None, cast.workspace.id, texts={"reason": "porque é seguro"})
    write(3, None, cast.elsewhere.id)
    notary.run_pass()
    for name, query in {
        "full": {},
        "filtered": {"verb": "dataset.registered", "outcome": "done"},
        "sampled": {"sample": {"per_million": 500_000, "seed": "audit-2026"}},
    }.items():
        handed_over(cast, stranger, name, **query)
        done = stranger.verify(name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("verified: ")
        assert "completeness filtered" in done.stdout
        assert done.stderr == ""


def test_every_match_that_is_dropped_is_caught(cast: Cast, notary: Notary, stranger: Stranger) -> None:
    write(4, None, cast.workspace.id)
    notary.run_pass()
    folder = handed_over(cast, stranger, "filtered", verb="dataset.registered")
    whole = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    matches = [number for number, line in enumerate(lines(folder)) if "rest" in line]
    assert len(matches) == 4
    for number in matches:
        index = lines(folder)[number]["index"]
        (folder / "events.jsonl").write_bytes(b"".join(whole[:number] + whole[number + 1 :]))
        done = stranger.verify("filtered")
        assert done.returncode == 1, done.stdout
        assert (
            f"entry {index}: it is in the export's scope, but events.jsonl does not disclose it"
            in done.stdout
        )
        (folder / "events.jsonl").write_bytes(b"".join(whole))
    assert stranger.verify("filtered").returncode == 0


def test_a_match_shown_as_none_is_caught(cast: Cast, notary: Notary, stranger: Stranger) -> None:
    """Its head is there, what it says is not: and the counts in export.json were put right."""
    write(2, None, cast.workspace.id)
    notary.run_pass()
    folder = handed_over(cast, stranger, "filtered", verb="dataset.registered")
    told = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines(folder)) if "rest" in line)
    line = verifier.parse_canonical(told[number].removesuffix(b"\n"))
    for name in ("rest", "rest_salt", "texts"):
        line.pop(name, None)
    told[number] = verifier.canonical(line) + b"\n"
    (folder / "events.jsonl").write_bytes(b"".join(told))
    manifest = verifier.parse_canonical((folder / "export.json").read_bytes().removesuffix(b"\n"))
    manifest["matches"] -= 1
    manifest["counts"]["dataset.registered"] -= 1
    (folder / "export.json").write_bytes(verifier.canonical(manifest) + b"\n")
    done = stranger.verify("filtered")
    assert (done.returncode, "[match_missing]" in done.stdout) == (1, True)


def test_with_a_checkpoint_of_before(cast: Cast, notary: Notary, stranger: Stranger, published: Path) -> None:
    write(3, None, cast.workspace.id)
    notary.run_pass()
    shutil.copy(published / "checkpoint", stranger.home / "kept.checkpoint")
    write(3, None, cast.workspace.id)
    notary.run_pass()
    handed_over(cast, stranger, "later")
    done = stranger.verify("later", "--previous", "kept.checkpoint")
    assert done.returncode == 0, done.stdout
    assert "the log only grew since the earlier checkpoint" in done.stdout
    forged = (stranger.home / "kept.checkpoint").read_text().splitlines(keepends=True)
    forged[2] = "A" * 43 + "=\n"
    (stranger.home / "kept.checkpoint").write_text("".join(forged))
    assert stranger.verify("later", "--previous", "kept.checkpoint").returncode == 1


def test_a_receipt(cast: Cast, notary: Notary, stranger: Stranger) -> None:
    event = write(3, None, cast.workspace.id)[1]
    notary.run_pass()
    receipt = receipt_for(event.id)
    assert receipt is not None
    (stranger.home / "r.tlog-proof").write_text(receipt)
    done = stranger.verify("r.tlog-proof")
    assert (done.returncode, str(event.id) in done.stdout) == (0, True), done.stdout + done.stderr
    assert Event.objects.filter(id=event.id).exists()
    (stranger.home / "r.tlog-proof").write_text(receipt.replace("index ", "index 1", 1))
    assert stranger.verify("r.tlog-proof").returncode in (1, 2)


def test_without_the_package_it_says_what_to_install(stranger: Stranger) -> None:
    for link in stranger.packages.iterdir():
        link.unlink()
    done = stranger.verify("anything")
    assert (done.returncode, "pip install cryptography" in done.stderr) == (2, True)
