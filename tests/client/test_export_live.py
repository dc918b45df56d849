"""`crivo audit export` against the real service: asked for, made by the worker, fetched, read again."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from audits import tasks, verbs
from audits.ledger.signing import checkpoint_key
from audits.models import AuditExport, Event
from tests import study
from tests.audits.trail import write, write_keys
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command as command  # the fixture: a command against the live server
from tests.client.test_live import crivo_of as crivo_of
from tests.snapshot import unchanged


@pytest.fixture(autouse=True)
def _worker(committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent to the broker is done at once: by the very function that the worker calls."""

    def done(task: str, *arguments: str, **_: Any) -> bool:
        if task == "audits.tasks.run_export":
            tasks.run_export(*arguments)
        return True

    write_keys()
    monkeypatch.setattr("audits.dispatch.send", done)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def published(cast: Cast, **wanted: Any) -> set[str]:
    """Ids of the events in the log that an export finds."""
    study.sequence()
    found = Event.objects.filter(workspace=cast.workspace, leaf__isnull=False, **wanted)
    return {str(event_id) for event_id in found.values_list("id", flat=True)}


def test_for_a_spreadsheet(command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path) -> None:
    write(3, None, committed_cast.workspace.id, texts={"reason": "urgente"})
    wanted = published(committed_cast, subject_kind="dataset")
    given = (
        "--form",
        "csv",
        "--language",
        "pt-br",
        "--time-zone",
        "America/Sao_Paulo",
        "--subject-kind",
        "dataset",
    )
    ran = command("clara", "audit", "export", tmp_path / "csv", *given)
    assert ran.code == 0, ran.err
    assert "3 events, from a log of" in ran.out
    assert "        3  dataset.registered" in ran.out
    assert "crivo verify" not in ran.out, "there is nothing to verify about a table"
    with (tmp_path / "csv/events.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["event_id"] for row in table} == wanted
    for row in table:
        assert row["at"].endswith("-03:00")
        assert json.loads(row["words"]) == {"reason": "urgente"}
    about = json.loads((tmp_path / "csv/about.json").read_text())
    assert about["counts"] == {"dataset.registered": 3}
    assert about["stated"]["time_zone"] == "America/Sao_Paulo"
    asked = Event.objects.get(verb="audit.exported")
    assert asked.detail == {
        "query": {"subject_kind": "dataset"},
        "form": "csv",
        "language": "pt-br",
        "time_zone": "America/Sao_Paulo",
    }


def test_each_filter_finds_what_the_database_finds(
    command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path
) -> None:
    event = write(2, None, committed_cast.workspace.id)[1]
    write(1, None, committed_cast.workspace.id, outcome="refused", texts={"reason": "muito urgente"})
    study.sequence()
    at = event.at.isoformat()
    filters: list[tuple[list[str], dict[str, Any]]] = [
        (["--subject", f"dataset:{event.subject_id}"], {"subject_id": event.subject_id}),
        (["--actor", str(event.actor_id)], {"actor_id": event.actor_id}),
        (["--verb", "dataset.registered", "--verb", "role.bound"], {"verb__in": ["dataset.registered", "role.bound"]}),
        (["--outcome", "refused"], {"outcome": "refused"}),
        (["--since", at], {"at__gte": event.at}),
        (["--until", at], {"at__lt": event.at}),
        (["--request", str(event.request_id)], {"request_id": event.request_id}),
        (["--correlation", str(event.correlation_id)], {"correlation_id": event.correlation_id}),
        (["--text", "urgente"], {"outcome": "refused"}),
    ]  # fmt: skip
    for number, (given, wanted) in enumerate(filters):
        # The newest checkpoint is the one made now: what an earlier round wrote is in it, too.
        found = published(committed_cast, **wanted)
        ran = command("clara", "audit", "export", tmp_path / str(number), "--form", "jsonl", *given)
        assert ran.code == 0, (given, ran.err)
        told = rows(tmp_path / str(number))
        assert {row["event_id"] for row in told} == found, given
        assert found, given
        about = json.loads((tmp_path / str(number) / "about.json").read_text())
        assert about["counts"] == Counter(row["verb"] for row in told)


def test_a_sample_taken_again(command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path) -> None:
    write(40, None, committed_cast.workspace.id)
    study.sequence()
    sample = ("--sample", 300_000, "--subject-kind", "dataset", "--form", "jsonl")
    ran = command("clara", "audit", "export", tmp_path / "first", *sample, "--json")
    assert ran.code == 0, ran.err
    seed = json.loads(ran.out)["filter"]["sample"]["seed"]
    again = command("clara", "audit", "export", tmp_path / "again", *sample, "--seed", seed)
    assert f"take it again with --seed {seed}" in again.out
    first = rows(tmp_path / "first")
    assert first == rows(tmp_path / "again")
    assert 0 < len(first) < 40


def test_one_that_is_verified(command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path) -> None:
    write(3, None, committed_cast.workspace.id)
    study.sequence()
    ran = command("clara", "audit", "export", tmp_path / "bundle", "--verb", "dataset.registered")
    assert (ran.code, "crivo verify" in ran.out) == (0, True), ran.err
    assert command("clara", "verify", tmp_path / "bundle", "--vkey", checkpoint_key().vkey).code == 0


def test_the_three_commands_of_the_page_for_auditors(
    command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand in docs/audit.md, in an empty folder, with a key and a checkpoint from elsewhere."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    block = page.split("```sh\n", 1)[1].split("```", 1)[0].splitlines()
    assert len(block) == 3
    study.sequence()
    monkeypatch.chdir(tmp_path)
    Path("log.vkey").write_text(f"{checkpoint_key().vkey}\n")
    kept = Path(settings.CRIVO_PUBLISH) / "checkpoint"
    Path("kept.checkpoint").write_bytes(kept.read_bytes())
    write(3, None, committed_cast.workspace.id)
    study.sequence()
    for line in block:
        program, *arguments = shlex.split(line)
        assert program == "crivo"
        ran = command("clara", *arguments)
        assert ran.code == 0, (line, ran.err)
    changed = Path("evidence/events.jsonl")
    changed.write_bytes(changed.read_bytes().replace(b'"outcome":"done"', b'"outcome":"dome"', 1))
    for line in block[1:]:
        assert command("clara", *shlex.split(line)[1:]).code == 1, line


def test_who_may_not_and_what_is_none(
    command: Callable[..., Ran], committed_cast: Cast, tmp_path: Path
) -> None:
    committed_cast.token("bruno")
    with unchanged(refusals=1):
        assert command("bruno", "audit", "export", tmp_path / "no", "--form", "csv").code == 1
    wrong: list[tuple[list[str], str]] = [
        (["--time-zone", "Mars/Olympus"], "time_zone"),
        (["--since", "yesterday"], "from"),
        (["--sample", "0"], "sample"),
        (["--subject", "dataset"], "kind:id"),
        (["--subject", "dataset:x", "--subject-id", "y"], "--subject says it all"),
        (["--seed", "s"], "--sample"),
    ]
    for given, told in wrong:
        ran = command("clara", "audit", "export", tmp_path / "no", *given)
        assert ran.code in (1, 2), given
        assert told in ran.err, (given, ran.err)
    assert not AuditExport.objects.exists()
    assert not (tmp_path / "no").exists()


def test_the_sdk_tells_how_far_it_is(crivo_of: Callable[[str], Any], committed_cast: Cast) -> None:
    study.sequence()
    clara = crivo_of("clara")
    told: list[tuple[int, int]] = []
    asked = clara.start_export(
        {"verb": ["role.bound"]}, form="csv", time_zone="Europe/Lisbon", language="pt-br"
    )
    export = clara.wait_for_export(asked.id, seconds=30, progress=lambda done, of: told.append((done, of)))
    row = AuditExport.objects.get()
    assert (export.state, export.form, export.filter) == ("done", "csv", {"verb": ["role.bound"]})
    assert told[-1] == (row.log_size, row.log_size)
    assert (export.matches, export.counts) == (row.matches, {"role.bound": row.matches})
    assert datetime.fromisoformat(export.raw["finished_at"]) == row.finished_at
    assert set(export.counts) <= set(verbs.all_verbs())
