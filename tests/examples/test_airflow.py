"""The Airflow trigger against the surface of Airflow that it uses, and a server that says what the test tells it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import governance.client
from tests.client import answers
from tests.client.double import Double, answer, problem, reset

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "airflow" / "crivo_airflow.py"


class TaskDeferred(BaseException):  # as in Airflow: it ends execute()
    def __init__(self, trigger: Any, method_name: str) -> None:
        self.trigger, self.method_name = trigger, method_name


class BaseOperator:
    def __init__(self, *, task_id: str) -> None:
        self.task_id = task_id

    def defer(self, *, trigger: Any, method_name: str) -> None:
        raise TaskDeferred(trigger, method_name)


class BaseTrigger:
    def __init__(self) -> None:
        pass


class TriggerEvent:
    def __init__(self, payload: Any) -> None:
        self.payload = payload


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    surface = {
        "airflow": {},
        "airflow.exceptions": {"AirflowException": type("AirflowException", (Exception,), {})},
        "airflow.models": {"BaseOperator": BaseOperator},
        "airflow.triggers": {},
        "airflow.triggers.base": {"BaseTrigger": BaseTrigger, "TriggerEvent": TriggerEvent},
    }
    for name, members in surface.items():
        made = ModuleType(name)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setitem(sys.modules, "crivo", governance.client)  # as the wheel calls it
    spec = importlib.util.spec_from_file_location("crivo_airflow", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "crivo_airflow", loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("crv_first\n")
    return path


def fired(trigger: Any) -> Any:
    async def first() -> Any:
        return await anext(trigger.run())

    return asyncio.run(asyncio.wait_for(first(), 30)).payload


def trigger_of(module: Any, double: Double, token: Path, until: float = 4e9) -> Any:
    return module.CrivoPromotionTrigger(double.url, str(token), answers.ID, until, every=0.01)


def test_asked_once_deferred_and_resumed(module: Any, double: Double, token: Path) -> None:
    operator = module.CrivoPromotionOperator(
        task_id="approved", model="scoring", version="3", to="homologation", reason="r", url=double.url,
        token_file=str(token), timeout=5 * 86400,
    )  # fmt: skip
    instance = type("Instance", (), {"dag_id": "d", "task_id": "approved", "run_id": "r1"})
    double.replies = [answer(201, answers.promotion()), answer(201, answers.promotion())]
    triggers = []
    for _ in range(2):  # a retry of the same task instance
        with pytest.raises(TaskDeferred) as caught:
            operator.execute({"ti": instance})
        triggers.append(caught.value.trigger)
        assert caught.value.method_name == "resume"
    assert [asked.headers["idempotency-key"] for asked in double.asked] == ["d/approved/r1"] * 2
    path, arguments = triggers[0].serialize()
    assert path == "crivo_airflow.CrivoPromotionTrigger"
    assert "crv_first" not in repr(arguments), "no token in Airflow's database"
    again = module.CrivoPromotionTrigger(**arguments)
    assert again.serialize() == (path, arguments)
    operator.resume({}, {"status": "effective", "reasons": []})
    with pytest.raises(sys.modules["airflow.exceptions"].AirflowException, match=r"refused\. Too low\."):
        operator.resume({}, {"status": "refused", "reasons": ["Too low."]})


def test_it_outlives_outages_and_the_renewal_of_its_token(module: Any, double: Double, token: Path) -> None:
    def renewed(handler: Any) -> None:
        token.write_text("crv_second\n")
        answer(200, answers.promotion("awaiting_approval"))(handler)

    def missing(handler: Any) -> None:
        token.unlink()
        answer(200, answers.promotion("granted"))(handler)
        token.write_text("crv_third\n")

    double.replies = [
        answer(200, answers.promotion("awaiting_approval")),
        reset,
        problem(503, "ledger_unavailable"),
        problem(401, "not_authenticated"),
        renewed,
        answer(200, answers.promotion("awaiting_approval")),
        missing,
        answer(200, answers.EFFECTIVE),
    ]
    assert fired(trigger_of(module, double, token)) == {"status": "effective", "reasons": []}
    used = [asked.headers["authorization"] for asked in double.asked]
    assert used == ["Bearer crv_first"] * 5 + ["Bearer crv_second"] * 2 + ["Bearer crv_third"]


def test_a_no_ends_it_with_its_reasons(module: Any, double: Double, token: Path) -> None:
    double.replies = [answer(200, answers.REFUSED)]
    event = fired(trigger_of(module, double, token))
    assert event["status"] == "refused"
    assert event["reasons"]
    double.replies = [problem(404, "not_found", "There is none.")]
    assert fired(trigger_of(module, double, token)) == {"status": "failed", "reasons": ["There is none."]}


def test_patience_ends(module: Any, double: Double, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double.replies = [answer(200, answers.promotion("awaiting_approval"))]
    assert fired(trigger_of(module, double, token, until=1.0)) == {"status": "timeout", "reasons": []}
    monkeypatch.setattr(module, "RENEWAL", 0.0)
    double.replies = [problem(401, "not_authenticated", "The token has expired.")] * 5
    event = fired(trigger_of(module, double, token))
    assert event == {"status": "failed", "reasons": ["The token has expired."]}
