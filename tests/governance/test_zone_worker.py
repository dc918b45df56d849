"""Every check, an explanation and a reproduction by a real worker in a data zone, on data full of canaries: none of
them is found in a row, a log, a page, a figure, an event or an export."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from audits import blobs
from audits.checks.catalogue import CATALOGUE
from audits.models import CheckRun, Event, Explanation
from audits.services.exporting import run_export
from audits.services.exports import request_export
from audits.services.reproductions import request_reproduction
from audits.trail import EXPORTED, TrailQuery
from governance.models import Promotion
from governance.services.explanations import request_explanation
from governance.services.settling import settle_after_check
from registry.services.models import register_model, register_model_version
from tests import study
from tests.audits.test_notary_crashes import ROOT, environment
from tests.audits.trail import write_keys
from tests.cast import Cast
from tests.checks import test_zones as data
from tests.checks.cast import model_file
from tests.governance.test_api import Caller
from tests.governance.test_explanations import everything_kept

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
POLICY = """
policy: study-development
applies_to: {{use_case: care, environment: development}}
checks:
{checks}
approvals: [{{role: validator, count: 1}}]
"""
ENTRY = """  - check: {slug}
    parameters: {parameters}
    require: [{{metric: {metric}, min: -1000000000, bound: point}}]
"""
PARAMETERS = {**data.PARAMETERS, "data.quality": {"as_of": "2031-08-01"}}


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    folder = tmp_path / "zone"
    folder.mkdir()
    return folder


@pytest.fixture
def worker(committed_cast: Cast, published: Path, zone: Path, tmp_path: Path) -> Iterator[Path]:
    with worker_in(zone, published, tmp_path / "worker.log") as log:
        yield log


@contextmanager
def worker_in(zone: Path, published: Path, log: Path, processes: int = 1, **more: str) -> Iterator[Path]:
    """A worker in the zone `clinic`, started as an operator would; its log."""
    if not django_settings.CELERY_BROKER_URL:
        pytest.skip("needs a broker: script/test brings one")
    environ = {
        **environment(published),
        "CRIVO_ZONES": "clinic",
        "CRIVO_FILE_ROOTS": str(zone),
        "CRIVO_BLOB_OPTIONS": json.dumps(django_settings.STORAGES["blobs"]["OPTIONS"]),
        "LOG_LEVEL": "DEBUG",
        "PYTHONUNBUFFERED": "1",
        **more,
    }
    command = [sys.executable, "manage.py", "zone_worker", "--zone", "clinic"]
    command += ["--concurrency", str(processes)]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*command, "--loglevel", "DEBUG"], cwd=ROOT, env=environ, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: b" ready." in log.read_bytes(), 120, log)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Any, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
        time.sleep(0.1)


def registered(
    cast: Cast, zone: Path, frames: Any = None, form: str = "csv", checks: Iterable[str] = tuple(CATALOGUE)
) -> Promotion:
    """Both data sets by URI and digest, a model of theirs, and a request whose policy asks for the checks."""
    caller = Caller(cast, "pipeline")
    for name, frame in zip(("training", "evaluation"), frames or data.data(), strict=True):
        written = frame.to_parquet(index=False) if form == "parquet" else frame.to_csv(index=False).encode()
        content: bytes = written
        (zone / f"{name}.{form}").write_bytes(content)
        assert caller.post("datasets", {"name": name, "zone": "clinic"}).status_code == 201
        about = {"format": form, "columns": list(frame.columns), "sensitive": {"sex": {}, "team": {}}}
        answer = caller.post(
            f"datasets/{name}/versions",
            {
                "uri": f"file://{zone}/{name}.{form}",
                "digest": f"sha256:{sha256(content).hexdigest()}",
                "metadata": about,
            },
        )
        assert answer.status_code == 201, answer.content
    study.use_case_with_policies(cast)
    entries = [
        ENTRY.format(
            slug=slug, parameters=json.dumps(PARAMETERS.get(slug, {})), metric=CATALOGUE[slug].metrics[0]
        )
        for slug in checks
    ]
    study.put_in_force(cast, POLICY.format(checks="".join(entries)))
    register_model(command=cast.command("pipeline"), name="progression")
    version = register_model_version(
        command=cast.command("pipeline"),
        name="progression",
        stored=blobs.store(cast.workspace.id, model_file(data.model()), cap=1 << 22),
        metadata=study.metadata(
            target="ill",
            training=["training@1"],
            evaluation="evaluation@1",
            sensitive={"sex": {"use": "forbidden"}, "team": {"use": "monitored"}},
            time_column="seen",
            claimed_metrics={"accuracy": 0.99},
        ),
    ).value
    return study.ask(cast, version, "development")


def found_in(text: str) -> list[str]:
    return [word for word in data.planted() if word in text or word.encode().hex() in text]


def test_nothing_planted_is_found_outside(
    committed_cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch, zone: Path, worker: Path
) -> None:
    cast = committed_cast
    settings.CRIVO_ZONES = ["clinic"]
    monkeypatch.delattr(current_app._get_current_object(), "send_task")  # this test has a worker: it is told
    promotion = registered(cast, zone)
    asked = request_explanation(
        command=cast.command("pipeline"),
        version_id=promotion.version_id,
        given={"age": 44, "income": 2900.5, "sex": "f", "town": "north"},
        lime=True,
    ).value
    unfinished = CheckRun.objects.filter(state__in=["queued", "running"])
    until(lambda: not unfinished.exists(), 600, worker)
    until(lambda: Explanation.objects.get(id=asked.id).finished, 120, worker)
    runs = list(CheckRun.objects.order_by("check_slug"))
    assert {run.check_slug for run in runs} == set(CATALOGUE)
    assert [(run.check_slug, run.result["error"]) for run in runs if run.state != "completed"] == []
    assert Explanation.objects.get(id=asked.id).state == "completed"
    settle_after_check(next(run for run in runs if run.check_slug == "evaluation.performance").id)

    bias = next(run for run in runs if run.check_slug == "bias.group_disparity")
    again = request_reproduction(command=cast.command("ana"), run_id=bias.id).value
    until(lambda: again.refresh_from_db() is None and again.finished, 120, worker)
    assert again.outcome == "identical"

    everything = everything_kept()
    assert "demographic_parity_ratio" in everything, "the search reads results"
    assert found_in(everything) == []
    log = worker.read_text(errors="replace")
    assert str(bias.id) in log, "the search reads the log of the worker that computed it"
    assert found_in(log) == []
    assert found_in(pages(cast, promotion)) == []
    assert found_in(exports(cast)) == []
    kept = [
        path for path in Path(settings.STORAGES["blobs"]["OPTIONS"]["location"]).rglob("*") if path.is_file()
    ]
    digests = {row["digest"] for run in runs for row in run.input["materials"] if row["role"] != "artifact"}
    assert not {f"sha256:{path.name}" for path in kept} & digests, "the data itself is in no store of ours"
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval", promotion.outcome


def pages(cast: Cast, promotion: Promotion) -> str:
    """The dossier with its figures, and every answer of the API about the runs."""
    browser = Client()
    browser.force_login(cast.people["bruno"])
    dossier = browser.get(reverse("admin:promotion", args=[promotion.id]))
    assert dossier.status_code == 200
    text = dossier.content.decode()
    assert "<svg" in text
    caller = Caller(cast, "bruno")
    answers = [caller.get(f"promotions/{promotion.id}"), caller.get("findings")]
    answers.append(Caller(cast, "clara").get("audit/events"))
    answers += [caller.get(f"datasets/{name}/versions/1") for name in ("training", "evaluation")]
    assert {answer.status_code for answer in answers} == {200}
    return text + "".join(answer.content.decode() for answer in answers)


def exports(cast: Cast) -> str:
    """The whole trail, as the verifiable bundle and as CSV."""
    write_keys()
    found = []
    for form in ("bundle", "csv"):
        export = request_export(
            command=cast.command("clara"), query=TrailQuery.parse({}, EXPORTED), form=form
        ).value
        study.sequence()
        done = run_export(export.id)
        assert done is not None
        with blobs.opened(cast.workspace.id, done.blob_digest) as file:
            found.append(unpacked(io.BytesIO(file.read())))
    assert all(str(Event.objects.filter(verb="check_run.completed")[0].subject_id) in text for text in found)
    return "".join(found)


def unpacked(content: io.BytesIO) -> str:
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as packed:
            return "".join(packed.read(name).decode(errors="replace") for name in packed.namelist())
    content.seek(0)
    with tarfile.open(fileobj=content) as packed:
        members = [packed.extractfile(member) for member in packed.getmembers()]
        return "".join(member.read().decode(errors="replace") for member in members if member is not None)
