from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from governance.models import Promotion
from tests import scenario
from tests.cast import Cast
from tests.console.markup import read

SignIn = Callable[[str], Client]
GROUPS = ("for_you", "for_others", "checking", "settled")


def groups(client: Client) -> dict[str, list[str]]:
    response = client.get(reverse("admin:inbox"))
    read(response)
    inbox = response.context["inbox"]
    return {name: [entry.promotion.label for entry in getattr(inbox, name)] for name in GROUPS}


def test_what_waits_for_whom(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    settled = [f"diabetes@1 → {name}" for name in ("homologation", "test", "development")]
    for name in ("bruno", "bia"):
        assert groups(as_person(name)) == {
            "for_you": ["diabetes@1 → production"],
            "for_others": [],
            "checking": [],
            "settled": settled,
        }
    for name in ("ana", "clara", "rita"):  # Ana is a validator, and had a hand in it
        assert groups(as_person(name))["for_you"] == []
        assert groups(as_person(name))["for_others"] == ["diabetes@1 → production"]
    assert groups(as_person("davi")) == {name: [] for name in GROUPS}


def test_who_has_decided_waits_for_others(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    scenario.word(cast, "bruno", waiting)
    assert groups(as_person("bruno"))["for_others"] == ["diabetes@1 → production"]
    assert groups(as_person("bia"))["for_you"] == ["diabetes@1 → production"]
    page = read(as_person("bruno").get(reverse("admin:inbox")))
    assert "9 of 9 requirements met · still to approve: Approver · you have decided" in page.text


def test_being_checked_and_refused(cast: Cast, as_person: SignIn) -> None:
    scenario.policies(cast)
    version = scenario.register(cast)
    promotion = scenario.request(cast, version, "development")
    assert groups(as_person("bruno"))["checking"] == ["diabetes@1 → development"]
    assert "0 of 4 checks finished" in read(as_person("bruno").get(reverse("admin:inbox"))).text
    bad = scenario.recorded_result("data.quality")
    for metric in bad["metrics"]:
        if metric["metric"] == "schema_mismatches":
            metric["value"] = 2.0
    scenario.complete_checks(promotion, {"data.quality": bad})
    assert groups(as_person("bruno"))["settled"] == ["diabetes@1 → development"]
    page = read(as_person("bruno").get(reverse("admin:inbox")))
    assert "Requirements of the policy that are not met: 1." in page.text


def test_the_number_of_queries_does_not_grow(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    client = as_person("bruno")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(reverse("admin:inbox")).status_code == 200
        return len(captured)

    queries()  # the session's own bookkeeping, once
    few = queries()
    for number in range(3):
        version = scenario.register(cast, model=f"other-{number}", artifact=f"other {number}".encode())
        scenario.promoted(cast, version, "development")
        scenario.complete_checks(scenario.request(cast, version, "test"))
        scenario.publish()
        scenario.complete_checks(scenario.request(cast, version, "homologation"))
    assert len(groups(client)["for_you"]) == 4
    assert queries() == few
    assert few <= 17


def test_settled_ones_are_paged_without_gap(
    cast: Cast, as_person: SignIn, waiting: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.console.inbox.SETTLED_PAGE", 2)
    client = as_person("bruno")
    response = client.get(reverse("admin:inbox"))
    first = response.context["inbox"]
    assert [str(entry.promotion.environment) for entry in first.settled] == ["homologation", "test"]
    response = client.get(reverse("admin:inbox"), {"before": str(first.older)})
    second = response.context["inbox"]
    assert [str(entry.promotion.environment) for entry in second.settled] == ["development"]
    assert second.older is None
    assert client.get(reverse("admin:inbox"), {"before": "no uuid"}).status_code == 200
