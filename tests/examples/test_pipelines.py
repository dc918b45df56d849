"""The examples for CI: they parse, and each command in them is run against the real service."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from governance.client.cli import main, parser
from governance.client.console import Console
from governance.models import Promotion
from tests import study
from tests.cast import Cast

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = ["github-actions/promote.yml", "github-actions/deploy.yml", "gitlab-ci/.gitlab-ci.yml"]
ROWS = "age,sex,bmi,progression\n" + "".join(f"{40 + n},{1 + n % 2},{20 + n},{n % 2}\n" for n in range(20))


def scripts(value: Any) -> list[str]:
    """Every shell script in a workflow: `run` of GitHub, `script` lists of GitLab."""
    if isinstance(value, dict):
        found = []
        for key, item in value.items():
            if key in ("run", "script", "before_script"):
                found += [item] if isinstance(item, str) else list(item)
            else:
                found += scripts(item)
        return found
    return [text for item in value for text in scripts(item)] if isinstance(value, list) else []


def commands(name: str) -> list[list[str]]:
    found = []
    for script in scripts(yaml.safe_load((EXAMPLES / name).read_text())):
        for line in script.splitlines():
            if match := re.match(r"\s*(crivo [^|]*?)(?: \|\| .*)?$", line):
                found.append(shlex.split(match[1])[1:])
    return found


def test_they_are_workflows() -> None:
    for name in FILES[:2]:
        document = yaml.safe_load((EXAMPLES / name).read_text())
        assert document["permissions"] == {"contents": "read"}
        for job in document["jobs"].values():
            assert all(("uses" in step) != ("run" in step) for step in job["steps"]), name
    gitlab = yaml.safe_load((EXAMPLES / FILES[2]).read_text())
    for job, body in gitlab.items():
        if job not in ("stages", "default"):
            assert body["stage"] in gitlab["stages"], job
    assert sum(len(commands(name)) for name in FILES) >= 11
    for page in [*FILES, "README.md", "airflow/crivo_airflow.py"]:
        for version in re.findall(r"crivo-(\d[\d.]*)-py3", (EXAMPLES / page).read_text()):
            client = EXAMPLES.parent / "governance" / "client" / "pyproject.toml"
            assert f'version = "{version}"' in client.read_text()


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_one(name: str) -> None:
    for arguments in commands(name):
        parser().parse_args(arguments)


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text()):
        assert (EXAMPLES / target).exists(), target


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", FILES[::2])
def test_they_run_against_the_service(
    live_server: Any, committed_cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    cast = committed_cast
    study.use_case_with_policies(cast)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRIVO_URL", live_server.url)
    monkeypatch.setenv("CRIVO_TOKEN", cast.token("pipeline"))
    Path("training.csv").write_text(ROWS)
    Path("model.skops").write_bytes(b"a model")
    metadata = study.metadata(training=["training@1"], evaluation="training@1")
    Path("model.json").write_text(json.dumps(metadata))
    Path("running.csv").write_text("digest,environment\n")

    def run(arguments: list[str]) -> int:
        arguments = [re.sub(r"^900$", "1", text.replace("production", "development")) for text in arguments]
        return main(arguments, console=Console(out=io.StringIO(), err=io.StringIO()))

    codes = {}
    for arguments in commands(first):
        if arguments[0] == "gate":
            break
        codes[arguments[0]] = run(arguments)
    # Granted at once, and effective only with the notary, which has not run: still pending, not failed.
    assert codes == {"dataset": 0, "model": 0, "promote": 4}
    assert Promotion.objects.get().state == "granted"
    gates = [arguments for arguments in commands(FILES[1]) if "--offline" not in arguments]
    assert run(gates[0]) == 1
    call_command("notary", once=True)
    assert [run(arguments) for arguments in gates] == [0, 0]
    monkeypatch.setenv("CRIVO_URL", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setattr("governance.client.transport._backoff", lambda attempt: 0.0)
    assert run(gates[0]) == 3
    (offline,) = [arguments for arguments in commands(FILES[1]) if "--offline" in arguments]
    published = Path(live_server_jwks(cast))
    Path("jwks.json").write_bytes(published.read_bytes())
    assert run(offline) == 0
    Path("model.skops").write_bytes(b"another")
    assert run(offline) == 1
    monkeypatch.setenv("CRIVO_URL", live_server.url)
    Path("running.csv").write_text(f"digest,environment\nsha256:{'0' * 64},development\n")
    reconcile = next(arguments for arguments in commands(FILES[2]) if arguments[0] == "reconcile")
    assert run(reconcile) == 1
    assert Path("differences.csv").exists()


def live_server_jwks(cast: Cast) -> str:
    from django.conf import settings

    return f"{settings.CRIVO_PUBLISH}/jwks.json"
