"""A real study in the child: everything checks use works behind the lock, and gives the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from audits.confine import Limits, Zygote
from tests.confine import probes
from tests.confine.study import write_study

pytest.importorskip("shap")

STUDY = "tests.confine.probes:study"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Zygote]:
    with Zygote() as started:
        yield started


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_study(tmp_path_factory.mktemp("study"))


def test_study_in_the_child(loaded: Zygote, paths: dict[str, Path]) -> None:
    outcome = loaded.run({}, paths, limits=Limits(wall_seconds=60, memory_bytes=1 << 30), entry=STUDY)
    assert outcome.error is None
    assert outcome.result is not None
    files = {name: path.open("rb") for name, path in paths.items()}
    here = probes.study({}, files)
    for file in files.values():
        file.close()
    assert outcome.result["rows"] == 200
    assert outcome.result["city"] == here["city"]
    assert outcome.result["groups"] == here["groups"]
    assert outcome.result["scores"] == pytest.approx(here["scores"], abs=1e-12)
    assert outcome.result["boosted"] == pytest.approx(here["boosted"], abs=1e-12)
    assert outcome.result["additivity_gap"] < 1e-9
    assert {"python", "numpy", "pandas", "pyarrow", "sklearn", "skops", "shap"} <= set(outcome.libraries)


def test_study_gives_the_same_bytes_twice(loaded: Zygote, paths: dict[str, Path]) -> None:
    first, second = (loaded.run({}, paths, entry=STUDY) for _ in range(2))
    assert first.result is not None
    assert first.result == second.result


def test_fork_of_a_loaded_zygote_is_cheap(loaded: Zygote) -> None:
    """Measured 15 to 20 ms; the bound only says that nothing is loaded per job."""
    loaded.start()
    seconds = sorted(loaded.run({}, {}, entry="tests.confine.probes:echo").seconds for _ in range(5))
    assert seconds[2] < 0.5


@pytest.mark.parametrize(
    "check", ["data.quality", "evaluation.performance", "bias.group_disparity", "explainability.shap"]
)
def test_real_check_in_the_child_gives_what_it_gives_here(loaded: Zygote, tmp_path: Path, check: str) -> None:
    cast = pytest.importorskip("tests.checks.cast")
    training, evaluation = cast.diabetes()
    what = {"model": cast.logistic(training), "training": training, "evaluation": evaluation}
    inputs, files = cast.given(check, **what)
    paths = {}
    for role, file in files.items():
        paths[role] = tmp_path / role
        paths[role].write_bytes(file.read())
        file.seek(0)
    outcome = loaded.run(inputs.to_json(), paths)
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.result["outcome"] == "completed"
    assert outcome.result == execute_here(inputs.to_json(), files)


def execute_here(check_input: dict[str, Any], files: dict[str, BinaryIO]) -> Any:
    return pytest.importorskip("audits.checks.execute").execute(check_input, files)
