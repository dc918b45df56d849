"""docs/audit.md: its three commands are run as they stand there, on a real export, and catch what they claim."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audits import blobs
from audits.ledger.signing import checkpoint_key
from audits.services.exports import request_export
from audits.tasks import run_export
from audits.trail import TrailQuery
from governance.client.cli import parser
from governance.client.unpack import unpack
from tests import study
from tests.audits.trail import write_keys
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "audit.md").read_text()
COMMANDS = re.search(r"## Three commands.*?```sh\n(.*?)```", PAGE, re.DOTALL)[1].strip().splitlines()  # type: ignore[index]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "governance.client", *shlex.split(command)[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def desk(committed_cast: Cast, published: Path, tmp_path: Path) -> Path:
    """What an auditor has: a checkpoint kept from an earlier visit, the key, and the export of today."""
    desk = tmp_path / "desk"
    desk.mkdir()
    study.study(committed_cast)
    write_keys()
    (desk / "log.vkey").write_text(f"{checkpoint_key().vkey}\n")
    shutil.copy(published / "checkpoint", desk / "kept.checkpoint")
    study.model_version(committed_cast, b"a later model")
    study.sequence()
    export = request_export(command=committed_cast.command("clara"), query=TrailQuery.parse({})).value
    run_export(str(export.id))
    export.refresh_from_db()
    assert export.state == "done", export.error
    with blobs.opened(export.workspace_id, export.blob_digest) as file:
        unpack(file, desk / "evidence")
    return desk


def test_the_three_commands(desk: Path) -> None:
    assert len(COMMANDS) == 3
    asked = parser().parse_args(shlex.split(COMMANDS[0])[1:])
    assert (asked.folder, asked.command.__name__) == ("evidence", "export_command")
    for command in COMMANDS[1:]:
        done = run(command, desk)
        assert (done.returncode, "verified" in done.stdout) == (0, True), done.stdout + done.stderr


def test_they_fail_where_the_page_says(desk: Path) -> None:
    lines = desk / "evidence" / "events.jsonl"
    whole = lines.read_bytes()
    lines.write_bytes(whole.replace(b'"registered"', b'"refused"', 1).replace(b"done", b"gone", 1))
    assert run(COMMANDS[1], desk).returncode == 1
    lines.write_bytes(whole)
    other = (desk / "kept.checkpoint").read_bytes()
    (desk / "kept.checkpoint").write_bytes(other.replace(other.splitlines()[2], b"A" * 43 + b"="))
    assert run(COMMANDS[2], desk).returncode != 0
    (desk / "evidence" / "checkpoint").unlink()
    assert run(COMMANDS[1], desk).returncode == 2


def test_every_command_of_the_page_exists() -> None:
    known = {
        path.stem
        for package in ("audits", "governance")
        for path in (ROOT / package / "management" / "commands").glob("*.py")
    }
    named = set(re.findall(r"manage\.py (\w+)", PAGE + (ROOT / "docs" / "keys.md").read_text()))
    assert named - known == set()
    assert len(named) > 7
