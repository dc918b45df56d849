"""Keyset pages of every list of the API: nothing twice, nothing skipped, also while rows are added."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from governance.roles import ROLES
from registry.services.models import register_model
from tests.cast import Cast
from tests.governance.addresses import CALLS
from tests.governance.ground import lay, principal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]


def test_page_by_page_is_the_whole(committed_cast: Cast) -> None:
    ground, client = lay(committed_cast), Client()
    headers = principal(committed_cast, "everybody", list(ROLES)).headers

    def page(address: str) -> dict[str, Any]:
        answer = client.get(address, headers=headers)
        assert answer.status_code == 200, (address, answer.content)
        return dict(answer.json())

    several = 0
    for route, call in CALLS.items():
        if not call.listed:
            continue
        address = ground.address(route)[1]
        way = route == "GET environments"  # from the first step on; everything else, the newest first
        by, turned = ("name", "last") if way else ("id", "oldest")
        whole, rows = page(f"{address}?page_size=500"), list[Any]()
        following: str | None = f"{address}?page_size=1"
        while following:
            found = page(following)
            assert len(found["results"]) == 1, route
            rows += found["results"]
            following = found["next"]
        assert [row[by] for row in rows] == [row[by] for row in whole["results"]], route
        backwards, following = list[Any](), f"{address}?page_size=2&order={turned}"
        while following:
            found = page(following)
            backwards += found["results"]
            following = found["next"]
        assert [row[by] for row in backwards] == [row[by] for row in rows[::-1]], route
        several += len(rows) > 1
    assert several >= 8, "most lists here have more than one page"


def test_rows_that_come_meanwhile(committed_cast: Cast) -> None:
    client, headers, command = Client(), committed_cast.headers("clara"), committed_cast.command("pipeline")
    names = [f"model-{n}" for n in range(5)]
    for name in names:
        register_model(command=command, name=name)
    following: str | None = "/api/v1/models?page_size=2"
    seen = []
    while following:
        found = client.get(following, headers=headers).json()
        seen += [row["name"] for row in found["results"]]
        register_model(command=command, name=f"late-{len(seen)}")
        following = found["next"]
    assert seen == names[::-1], "the newest first; what came after the first page is not in it"


ASKED: dict[str, dict[str, str]] = {
    "models": {"name": "GRESS"},
    "datasets": {"name": "atien"},
    "use-cases": {"name": "car", "risk_tier": "high"},
    "policies": {"name": "study-hom", "environment": "homologation", "use_case": "care"},
    "models/progression/versions": {"state": "retired"},
    "datasets/patients/versions": {},
    "grandfathered": {"model": "progression", "environment": "production", "state": "running"},
    "deployments": {"model": "progression", "environment": "test", "running": "true"},
}


def test_lists_are_narrowed_by_what_is_asked(committed_cast: Cast) -> None:
    """Each filter leaves what fits, alone and with the others; what no row can have is a 400."""
    lay(committed_cast)
    client, headers = Client(), committed_cast.headers("clara")

    def rows(path: str, **asked: str) -> list[str]:
        answer = client.get(f"/api/v1/{path}", asked, headers=headers)
        assert answer.status_code == 200, (path, asked, answer.content)
        return [row["id"] for row in answer.json()["results"]]

    for path, asked in ASKED.items():
        whole, fitting = rows(path), rows(path, **asked)
        assert fitting, path
        assert set(fitting) <= set(whole)
        for name, value in asked.items():
            assert set(fitting) <= set(rows(path, **{name: value})), (path, name)
    assert len(rows("models", name="GRESS")) == len(rows("models")) - 1
    assert rows("models/progression/versions", state="suspended") == []
    assert rows("datasets/patients/versions", digest="sha256:0") == []
    digest = client.get("/api/v1/models/progression/versions/1", headers=headers).json()["artifact_digest"]
    assert len(rows("models/progression/versions", digest=digest)) >= 1
    assert rows("deployments", model="nobody") == []
    assert rows("policies", use_case="nobody") == []
    for path, bad in (
        ("models/progression/versions?state=gone", "state"),
        ("use-cases?risk_tier=enormous", "risk_tier"),
        ("grandfathered?state=gone", "state"),
        ("models?order=upwards", "order"),
        (f"models?name={'x' * 201}", "name"),
    ):
        answer = client.get(f"/api/v1/{path}", headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, bad), path
