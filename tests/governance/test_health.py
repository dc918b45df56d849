"""Ready is said only while the database answers, whatever the driver calls it when it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client


@pytest.mark.parametrize("lost", [OperationalError, InterfaceError])
def test_not_ready_without_the_database(
    db: Iterator[None], monkeypatch: pytest.MonkeyPatch, lost: type[Exception]
) -> None:
    assert Client().get("/readyz").status_code == 200

    def gone() -> None:
        raise lost("connection already closed")

    with monkeypatch.context() as away:
        away.setattr(connection, "cursor", gone)
        answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "no database"})
