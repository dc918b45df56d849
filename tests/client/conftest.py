from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from governance.client import Crivo
from governance.client.cli import main
from governance.client.console import Console
from tests.client.double import Double


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as started:
        yield started


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def crivo(double: Double, slept: list[float]) -> Iterator[Crivo]:
    with Crivo(double.url, "crv_token", sleep=slept.append) as client:
        yield client


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(double: Double, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`crivo …` against the double, in this process; waits between tries cost nothing."""
    monkeypatch.setenv("CRIVO_URL", double.url)
    monkeypatch.setenv("CRIVO_TOKEN", "crv_token")
    monkeypatch.setattr("governance.client.transport._backoff", lambda attempt: 0.0)

    def called(*arguments: Any) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        texts = list(map(str, arguments))
        code = main(texts, console=Console(as_json="--json" in texts, out=out, err=err))
        return Ran(code, out.getvalue(), err.getvalue())

    return called
