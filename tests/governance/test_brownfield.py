"""What ran before Crivo came: tolerated until a deadline and never approved; and what runs against what is approved."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from audits.models import Event
from governance import gate, standings
from governance.client.cli import main
from governance.client.console import Console
from governance.models import Attestation, Grandfathered, Import, Placement, Promotion, Reconciliation
from governance.services.brownfield import longest_days
from registry.models import Model, ModelVersion
from tests import study
from tests.audits.trail import verified
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.governance.test_api import Caller, problem
from tests.governance.test_gate import now, to_production
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
OLD = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def notary(cast: Cast) -> Iterator[Notary]:
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()


@pytest.fixture
def rita(cast: Cast) -> Caller:
    return Caller(cast, "rita")


def row(**changes: Any) -> dict[str, Any]:
    return {"model": "scoring", "digest": OLD, "environment": "production", "version": "12", **changes}


def codes(cast: Cast, digest: str = OLD, at: datetime | None = None) -> tuple[bool, list[str]]:
    answer = gate.ask(cast.workspace.id, digest, "production", at=at)
    return answer.allowed, [reason.code for reason in answer.reasons]


def test_tolerated_until_the_deadline_and_never_approved(
    cast: Cast, rita: Caller, notary: Notary, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = now()
    answer = rita.post("imports", {"rows": [row(uri="s3://models/12", since="2024-03-01T00:00:00Z")]})
    assert answer.status_code == 201, answer.content
    (reported,) = answer.json()["report"]
    assert reported["status"] == "imported"
    entry = Grandfathered.objects.select_related("model").get()
    assert (entry.format, entry.artifact_uri, entry.model.name) == ("unknown", "s3://models/12", "scoring")
    assert timedelta(days=90) - timedelta(minutes=1) < entry.deadline - timezone.now() <= timedelta(days=90)
    assert codes(cast) == (False, ["grandfathering_not_effective_yet"])
    waiting = now()
    notary.run_pass()
    assert codes(cast) == (True, ["grandfathered"])
    told = Caller(cast, "pipeline").get(f"gate?digest={OLD}&environment=production").json()
    assert (told["allowed"], told["attestation"], told["placements"]) == (True, None, [])
    assert told["grandfathered"]["id"] == str(entry.id)
    assert told["reasons"][0]["params"]["deadline"] == entry.deadline.isoformat()
    assert gate.ask(cast.workspace.id, OLD, "test").reasons[0].code == "not_promoted"
    assert gate.ask(cast.workspace.id, OLD, "production", model="other").reasons[0].code == "unknown_digest"
    assert gate.ask(cast.elsewhere.id, OLD, "production").reasons[0].code == "unknown_digest"
    for model in (ModelVersion, Placement, Promotion, Attestation):
        assert not model._base_manager.exists(), "nothing of it looks approved"
    assert codes(cast, at=before) == (False, ["unknown_digest"])
    assert codes(cast, at=waiting) == (False, ["grandfathering_not_effective_yet"])
    assert codes(cast, at=now()) == (True, ["grandfathered"])
    late = entry.deadline
    monkeypatch.setattr(standings, "moment", lambda at: standings.Moment(late, past=False))
    assert codes(cast) == (False, ["grandfathering_over"])
    late = entry.deadline - timedelta(microseconds=1)
    assert codes(cast) == (True, ["grandfathered"])
    monkeypatch.undo()
    assert {event.verb for event in Event.objects.filter(subject_kind__in=["grandfathered", "import"])} == {
        "grandfathered.registered",
        "import.recorded",
    }
    notary.run_pass()
    assert verified().verified


def test_the_same_again_changes_nothing_and_moves_no_deadline(cast: Cast, rita: Caller) -> None:
    near = (timezone.now() + timedelta(days=10)).isoformat()
    first = rita.post("imports", {"rows": [row(), row(digest=OTHER)], "deadline": near})
    assert first.status_code == 201
    deadline = Grandfathered.objects.first().deadline  # type: ignore[union-attr]
    with unchanged(refusals=0):
        again = rita.post("imports", {"rows": [row(), row(digest=OTHER)], "deadline": near})
    assert (again.status_code, again.json()) == (200, first.json())
    longer = rita.post("imports", {"rows": [row(), row(model="third", digest=OTHER), row()]})
    assert [item["status"] for item in longer.json()["report"]] == ["existing", "imported", "existing"]
    assert set(Grandfathered.objects.filter(model__name="scoring").values_list("deadline", flat=True)) == {
        deadline
    }
    assert Grandfathered.objects.count() == 3
    assert Model.objects.count() == 2


def test_policy_says_how_long(cast: Cast, rita: Caller) -> None:
    study.use_case_with_policies(cast)
    assert longest_days(cast.workspace, "production") == 90
    text = study.PRODUCTION + "grandfathered: {max_days: 30}\n"
    study.put_in_force(cast, text)
    assert longest_days(cast.workspace, "production") == 30
    late = (timezone.now() + timedelta(days=31)).isoformat()
    with unchanged(refusals=1):
        problem(
            rita.post("imports", {"rows": [row()], "deadline": late}),
            422,
            "grandfathering_deadline",
            "deadline",
        )
    past = (timezone.now() - timedelta(days=1)).isoformat()
    with unchanged(refusals=1):
        problem(rita.post("imports", {"rows": [row()], "deadline": past}), 422, "grandfathering_deadline")
    study.put_in_force(cast, text.replace("max_days: 30", "max_days: 0"))
    with unchanged(refusals=1):
        problem(rita.post("imports", {"rows": [row()]}), 422, "grandfathering_deadline")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row(environment="moon")], "environment_unknown"),
        ([row(), row(model="Not A Name")], "name_invalid"),
    ],
)
def test_one_bad_row_and_none_is_let_in(cast: Cast, rita: Caller, rows: Any, code: str) -> None:
    with unchanged(refusals=1):
        problem(rita.post("imports", {"rows": rows}), 422, code)


@pytest.mark.parametrize("body", [{}, {"rows": []}, {"rows": [row()] * 501}, {"rows": [row(digest="x")]}])
def test_a_malformed_import(cast: Cast, rita: Caller, body: Any) -> None:
    with unchanged(refusals=0):
        assert rita.post("imports", body).status_code in (400, 422)


@pytest.mark.parametrize("name", ["pipeline", "bruno", "bia", "ana", "clara"])
def test_only_risk_managers_let_anything_in(cast: Cast, name: str) -> None:
    caller = Caller(cast, name)
    with unchanged(refusals=1):
        problem(caller.post("imports", {"rows": [row()]}), 403, "not_permitted")


def test_an_ending_binds_at_once_and_for_good(cast: Cast, rita: Caller, notary: Notary) -> None:
    rita.post("imports", {"rows": [row()]})
    notary.run_pass()
    entry = Grandfathered.objects.get()
    allowed = now()
    path = f"grandfathered/{entry.id}/ending"
    bruno, davi = Caller(cast, "bruno"), Caller(cast, "davi")
    with unchanged(refusals=1):
        problem(bruno.post(path, {"reason": "x"}), 403, "not_permitted")
    with unchanged(refusals=0):
        problem(davi.post(path, {"reason": "x"}), 404, "not_found")
    assert rita.post(path, {"reason": "it drifted"}).json()["state"] == "ended"
    assert codes(cast) == (False, ["grandfathering_ended"])
    assert codes(cast, at=allowed) == (True, ["grandfathered"])
    with unchanged(refusals=1):
        problem(rita.post(path, {"reason": "again"}), 409, "grandfathering_ended_already")
    answer = rita.post("imports", {"rows": [row(), row(digest=OTHER)]})
    assert answer.json()["report"][0]["status"] == "existing"
    assert codes(cast) == (False, ["grandfathering_ended"]), "given again, it stays ended"


def test_an_approved_version_takes_its_place(cast: Cast, rita: Caller, notary: Notary) -> None:
    version = study.study(cast)
    rita.post("imports", {"rows": [row(model="progression")]})
    notary.run_pass()
    assert codes(cast) == (True, ["grandfathered"])
    to_production(cast, notary, version)
    assert codes(cast) == (True, ["grandfathered"]), "until its successor is effective"
    before = now()
    notary.run_pass()
    assert codes(cast) == (False, ["grandfathering_replaced"])
    assert codes(cast, at=before) == (True, ["grandfathered"])
    rows = [row(model="progression", digest=version.artifact_digest), row(model="progression", digest=OTHER)]
    report = rita.post("imports", {"rows": rows}).json()["report"]
    assert [item["status"] for item in report] == ["placed", "replaced"]
    assert codes(cast, version.artifact_digest) == (True, [])
    assert codes(cast, OTHER)[0] is False


def test_the_service_cannot_move_a_deadline_or_change_evidence(cast: Cast, rita: Caller) -> None:
    rita.post("imports", {"rows": [row()]})
    rita.post("reconciliations", {"running": [row()]})
    for statement in (
        "UPDATE governance_grandfathered SET deadline = deadline + interval '1 day'",
        "DELETE FROM governance_grandfathered",
        "UPDATE governance_import SET report = '[]'",
        "DELETE FROM governance_reconciliation",
    ):
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute(statement)


# Reconciliation


def test_what_runs_against_what_is_approved(cast: Cast, rita: Caller, notary: Notary) -> None:
    version = study.study(cast)
    to_production(cast, notary, version)
    study.model_version(cast, b"never promoted", name="other")
    rita.post("imports", {"rows": [row(model="legacy")]})
    notary.run_pass()
    never = ModelVersion.objects.get(model__name="other").artifact_digest
    fine = {"digest": version.artifact_digest, "environment": "production"}
    running = [
        fine,
        {**fine, "since": "2001-01-01T00:00:00Z"},
        {**fine, "since": timezone.now().isoformat()},
        {"digest": OLD, "environment": "production"},
        {"digest": OTHER, "environment": "production", "model": "progression"},
        {"digest": OTHER, "environment": "production"},
        {"digest": never, "environment": "production"},
        {"digest": version.artifact_digest, "environment": "moon"},
    ]
    caller = Caller(cast, "pipeline")
    answer = caller.post("reconciliations", {"running": running, "environments": ["test"]})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    kinds = [(item["kind"], item["environment"]) for item in body["findings"]]
    assert kinds == [
        ("approved", "production"),
        ("ran_before_approval", "production"),
        ("approved", "production"),
        ("grandfathered", "production"),
        ("wrong_digest", "production"),
        ("not_approved", "production"),
        ("not_approved", "production"),
        ("not_approved", "moon"),
        ("absent", "test"),
    ]
    reasons = [item["reason"] and item["reason"]["code"] for item in body["findings"]]
    assert reasons[3:] == [
        "grandfathered", "unknown_digest", "unknown_digest", "not_promoted", "unknown_environment", None,
    ]  # fmt: skip
    assert body["findings"][4]["expected"] == [version.artifact_digest]
    assert body["differences"] == 6
    assert body["counts"]["not_approved"] == 3
    kept = caller.get(f"reconciliations/{body['id']}")
    assert kept.json() == body
    assert Caller(cast, "davi").get(f"reconciliations/{body['id']}").status_code == 404
    event = Event.objects.get(verb="reconciliation.recorded")
    assert event.evidence == [{"kind": "reconciliation", "digest": body["digest"]}]
    bia = Caller(cast, "bia")
    with unchanged(refusals=1):
        problem(bia.post("reconciliations", {"running": []}), 403, "not_permitted")
    with unchanged(refusals=1):
        problem(caller.post("reconciliations", {"running": []}), 422, "reconciliation_empty")
    with unchanged(refusals=1):
        body = {"running": [], "environments": ["moon"]}
        problem(caller.post("reconciliations", body), 422, "environment_unknown", "environments")
    assert Reconciliation.objects.count() == 1


# The commands


@pytest.fixture
def crivo(live_server: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    def called(who: str, *arguments: Any) -> Ran:
        monkeypatch.setenv("CRIVO_URL", live_server.url)
        monkeypatch.setenv("CRIVO_TOKEN", cast.token(who))
        out, err = io.StringIO(), io.StringIO()
        texts = list(map(str, arguments))
        code = main(texts, console=Console(as_json="--json" in texts, out=out, err=err))
        return Ran(code, out.getvalue(), err.getvalue())

    return called


def test_import_in_parts_with_a_report_and_again(
    crivo: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.client.commands.brownfield.BATCH", 2)
    lines = [f"m{n},sha256:{n:064x},production,v{n},=cmd|x,2024-01-0{n + 1}" for n in range(5)]
    path = tmp_path / "live.csv"
    path.write_text("model,digest,environment,version,uri,since\n" + "\n".join(lines) + "\n")
    ran = crivo("rita", "import", path, "--report", tmp_path / "report.csv")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("5 rows: 5 imported\n")
    with (tmp_path / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(item["model"], item["status"]) for item in rows] == [(f"m{n}", "imported") for n in range(5)]
    assert (Import.objects.count(), Grandfathered.objects.count()) == (3, 5)
    events = Event.objects.count()
    again = crivo("rita", "import", path, "--report", tmp_path / "again.json")
    assert again.code == 0
    assert Event.objects.count() == events
    assert {item["status"] for item in json.loads((tmp_path / "again.json").read_text())} == {"imported"}
    assert crivo("pipeline", "import", path).code == 1
    monkeypatch.undo()


def test_reconcile_says_by_its_exit_code_whether_they_differ(
    crivo: Callable[..., Ran], tmp_path: Path
) -> None:
    path = tmp_path / "running.csv"
    path.write_text("digest,environment\n")
    ran = crivo("pipeline", "reconcile", path, "--environment", "production")
    assert (ran.code, Reconciliation.objects.count()) == (0, 1)
    path.write_text(f"digest,environment,model\n{OLD},production,scoring\n")
    ran = crivo("pipeline", "reconcile", path, "--report", tmp_path / "found.csv", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["counts"] == {"not_approved": 1}
    with (tmp_path / "found.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert (found["kind"], found["digest"], found["reason"]) == ("not_approved", OLD, "unknown_digest")
    ran = crivo("pipeline", "reconcile", path)
    assert "not_approved" in ran.out


@pytest.mark.parametrize(
    "text",
    [
        "", "digest\n", "digest,environment,colour\n", f"digest,environment\n{OLD}\n", "digest,environment\nx,test\n",
        f"digest,environment\n{OLD},\n", f"digest,environment,since\n{OLD},test,yesterday\n",
        f"digest,environment\n{OLD},test,more\n",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant(crivo: Callable[..., Ran], tmp_path: Path, text: str) -> None:
    path = tmp_path / "running.csv"
    path.write_text(text)
    assert crivo("pipeline", "reconcile", path).code == 2
    assert crivo("pipeline", "reconcile", path, "--report", "x.xlsx").code == 2
    assert not Reconciliation.objects.exists()


def test_bundle_and_the_time_of_a_question(
    crivo: Callable[..., Ran], cast: Cast, notary: Notary, tmp_path: Path
) -> None:
    from django.core.management import call_command

    version = study.study(cast)
    study.ask(cast, version, "development")
    notary.release()
    call_command("notary", once=True)
    bundle, keys = tmp_path / "b.jsonl", tmp_path / "k.json"
    assert crivo("pipeline", "bundle", "progression", bundle, "--jwks", keys).code == 0
    question = ("gate", version.artifact_digest, "--environment", "development")
    assert crivo("pipeline", *question, "--offline", bundle, "--jwks", keys).code == 0
    assert crivo("pipeline", *question).code == 0
    assert crivo("pipeline", *question, "--at", "2020-01-01").code == 1
    assert crivo("pipeline", *question, "--at", "soon").code == 2
    assert crivo("pipeline", *question, "--at", "2999-01-01").code == 1
    assert crivo("pipeline", *question, "--offline", bundle).code == 2
    assert crivo("pipeline", "bundle", "nothing", bundle).code == 1
