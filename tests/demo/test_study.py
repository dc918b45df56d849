from __future__ import annotations

import json
from pathlib import Path

import pytest

from governance.demo import study
from governance.demo.story import MEASURED, TOLERANCE
from registry.metadata import validated


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> study.Study:
    return study.build(tmp_path_factory.mktemp("study"))


def test_the_split_is_fixed_and_without_overlap(built: study.Study) -> None:
    training, evaluation = (path.read_text().splitlines() for path in (built.training, built.evaluation))
    assert training[0] == evaluation[0] == "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,progression"
    assert (len(training), len(evaluation)) == (266, 178)
    assert not set(training[1:]) & set(evaluation[1:])


def test_the_same_numbers_each_time(built: study.Study, tmp_path: Path) -> None:
    again = study.build(tmp_path)
    for name in ("training", "evaluation"):
        assert getattr(again, name).read_bytes() == getattr(built, name).read_bytes()
    for name, path in again.metadata.items():
        assert path.read_text() == built.metadata[name].read_text()


def test_what_is_declared_is_accepted(built: study.Study) -> None:
    for path in built.metadata.values():
        validated(json.loads(path.read_text()))


@pytest.mark.parametrize("name", ["without", "with"])
def test_the_measured_disparity(name: str, built: study.Study) -> None:
    """By hand, without the check: selected among each sex, the lower rate over the higher."""
    import pandas
    import skops.io

    frame = pandas.read_csv(built.evaluation)
    path = built.artifacts[name]
    model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    frame["selected"] = model.predict_proba(frame[list(model.feature_names_in_)])[:, 1] >= 0.5
    rates = frame.groupby("sex")["selected"].mean()
    assert rates.min() / rates.max() == pytest.approx(MEASURED[name], abs=TOLERANCE)


def test_called_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main([]) == 2
    assert study.main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err
