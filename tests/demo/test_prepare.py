from __future__ import annotations

import pytest

from governance.client.shapes import Promotion
from governance.demo.prepare import main, prepared_before
from tests.client import answers


def row(n: int, state: str, to: str = "homologation") -> Promotion:
    return Promotion.read(answers.promotion(state, n=n, to=to))


@pytest.mark.parametrize(
    ("found", "before"),
    [
        ([], False),
        ([row(1, "granted", "test")], False),
        ([row(1, "refused")], False),
        ([row(2, "checking"), row(1, "refused")], False),
        ([row(2, "awaiting_approval")], False),
        ([row(2, "awaiting_approval"), row(1, "refused")], True),
        ([row(2, "granted"), row(1, "refused")], True),
        ([row(2, "granted", "production"), row(1, "refused")], False),
        ([row(1, "refused"), row(1, "awaiting_approval")], False),
    ],
)
def test_whether_it_was_prepared_before(found: list[Promotion], before: bool) -> None:
    assert prepared_before(found) is before


def test_without_a_demonstration(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CRIVO_BASE_URL", raising=False)
    assert main() == 1
    assert "load_demo" in capsys.readouterr().out
