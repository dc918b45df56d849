"""The committed OpenAPI document is what the code serves, and it is valid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

COMMITTED = Path(__file__).resolve().parent.parent / "docs" / "openapi.yaml"


def test_the_committed_document_is_fresh_and_without_warnings(tmp_path: Path) -> None:
    made = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(made), validate=True, fail_on_warn=True)
    assert made.read_text() == COMMITTED.read_text(), (
        "The API has changed: `python manage.py spectacular --file docs/openapi.yaml`, and look at the difference."
    )


@pytest.mark.django_db
def test_it_is_served_to_anybody(client: Client) -> None:
    answer = client.get("/api/v1/schema")
    assert answer.status_code == 200
    document = yaml.safe_load(answer.content)
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path == "/api/v1/attestations/revoked":  # deliberately open to anybody
                assert not operation.get("security"), path
                continue
            assert operation["security"] == [{"token": []}], path
            if method == "post":
                assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]], path
                assert {"400", "401", "403", "503"} <= set(operation["responses"]), path
