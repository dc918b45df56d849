"""Policies on pages: shown, compared, decided on by whoever may; every refusal is a sentence and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from governance.models import PolicyChange, PolicyVersion
from governance.services.policy_changes import propose_policy
from tests import study
from tests.cast import Cast
from tests.console.markup import read
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]
LOOSER = study.HOMOLOGATION.replace("min: 0.8", "min: 0.7") + "acknowledge: [validator]\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def change(cast: Cast) -> PolicyChange:
    study.use_case_with_policies(cast)
    return propose_policy(command=cast.command("rita"), text=LOOSER, reason="too strict").value


def test_a_change_is_read_and_approved(as_person: SignIn, change: PolicyChange) -> None:
    bia = as_person("bia")
    address = f"/admin/policies/changes/{change.id}"
    overview = bia.get("/admin/policies")
    assert "study-homologation@1 → study-homologation@2" in read(overview).text
    assert overview["Content-Security-Policy"].startswith("default-src 'none'")
    page = read(bia.get(address))
    assert "asks less" in page.text
    assert "is loosened from 0.80 to 0.70." in page.text
    assert "asks more acknowledge: validator added." in page.text
    assert "+ - {metric: demographic_parity_ratio, min: 0.7, bound: point}" in page.text
    assert "May not decide on it: Rita" in page.text
    given = {name: page.value_of(name) for name in ("digest", "key")}
    given |= {"verdict": "approve", "reason": "Agreed."}
    for _ in range(2):  # a double click
        assert bia.post(f"{address}/decide", given).status_code == 302
    assert PolicyVersion.objects.get(name="study-homologation", current=True).n == 2
    version = "/admin/policies/study-homologation/2"
    assert "applied, not in force yet" in read(bia.get(version)).text
    study.sequence()
    bruno = as_person("bruno")
    page = read(bruno.get(version))
    assert "in force since" in page.text
    assert "Ana Validator" in page.text
    assert bruno.post(f"{version}/acknowledge").status_code == 302
    shown = read(bruno.get(version)).text
    assert "Bruno Validator" not in shown
    assert "Against study-homologation@1" in shown
    assert bruno.get(version + "?against=x").status_code == 200
    with unchanged(refusals=1):
        assert bia.post(f"{version}/acknowledge").status_code == 422


def test_who_may_not_decide(as_person: SignIn, change: PolicyChange) -> None:
    address = f"/admin/policies/changes/{change.id}"
    given = {"verdict": "approve", "reason": "x", "digest": change.digest, "key": str(uuid4())}
    for name, status, sentence, refusals in (
        ("rita", 403, "You proposed this change or gain by it", 1),
        ("bruno", 403, "You may not do this here", 1),
        ("davi", 404, "There is no policy change", 0),
    ):
        client = as_person(name)
        assert f"{address}/decide" not in read(client.get(address)).forms()
        with unchanged(refusals=refusals):
            answer = client.post(f"{address}/decide", given | {"key": str(uuid4())})
        assert answer.status_code == status, name
        assert sentence in read(answer).text
    bia = as_person("bia")
    for wrong, status in (({"digest": "x"}, 409), ({"reason": " "}, 422), ({"verdict": ""}, 422)):
        with unchanged(refusals=1):
            answer = bia.post(f"{address}/decide", given | wrong | {"key": str(uuid4())})
        assert answer.status_code == status
    assert bia.get(f"{address}/decide").status_code == 405
    assert bia.get("/admin/policies/study-homologation/9").status_code == 404
