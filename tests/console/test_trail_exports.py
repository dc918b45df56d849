from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from audits import verbs
from audits.models import AuditExport, Event
from governance.models import Promotion
from tests.cast import Cast
from tests.console.markup import read
from tests.console.test_trail import found

SignIn = Callable[[str], Client]
GOOD = {"form": "csv", "time_zone": "America/Sao_Paulo"}


def test_every_way_to_search(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    clara = as_person("clara")
    event = Event.objects.get(verb="promotion.requested", subject_id=waiting.id)
    told = found(clara, subject_id=str(event.subject_id), verb=event.verb)
    assert len(told) == 1
    for name in ("actor", "request_id", "correlation_id"):
        value = event.actor_id if name == "actor" else getattr(event, name)
        count = Event.objects.filter(
            workspace=cast.workspace, **{"actor_id" if name == "actor" else name: value}
        ).count()
        assert told[0] in found(clara, **{name: str(value)})
        assert len(found(clara, **{name: str(value)})) == min(count, 50)
    of_kind = found(clara, subject_kind="promotion")
    assert told[0] in of_kind
    assert len(of_kind) == Event.objects.filter(workspace=cast.workspace, subject_kind="promotion").count()
    assert clara.get(reverse("admin:trail"), {"subject_kind": "Promotion!"}).status_code == 400
    assert found(clara, q="asked promotion nonsense") == []
    assert clara.get(reverse("admin:trail"), {"q": " ".join("abcdefghi")}).status_code == 400
    assert clara.get(reverse("admin:trail"), {"until": "9999-12-31"}).status_code == 200


def test_asked_for_on_the_page(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    clara = as_person("clara")
    address = reverse("admin:trail_exports")
    assert (
        f"{address}?verb=promotion.requested"
        in read(clara.get(reverse("admin:trail"), {"verb": "promotion.requested"})).links
    )
    page = clara.get(address, {"verb": "promotion.requested"})
    assert page.context["wanted"]["verb"].value() == "promotion.requested"
    for wrong in (
        {"time_zone": "Mars"},
        {"form": "xls"},
        {"percent": "200"},
        {"percent": "1", "seed": "a b"},
    ):
        assert clara.post(address, {**GOOD, **wrong}).status_code == 400, wrong
    assert not AuditExport.objects.exists()
    asked = {**GOOD, "verb": "promotion.requested", "q": "diabetes", "percent": "50", "seed": "s1"}
    assert clara.post(address, asked).status_code == 302
    export = AuditExport.objects.get()
    assert export.query == {
        "verb": ["promotion.requested"], "q": "diabetes", "sample": {"seed": "s1", "per_million": 500_000},
    }  # fmt: skip
    assert (export.form, export.time_zone, export.language) == ("csv", "America/Sao_Paulo", "en")
    assert Event.objects.filter(verb="audit.exported", subject_id=export.id).count() == 1
    shown = clara.get(address)
    assert [row.export.id for row in shown.context["rows"]] == [export.id]
    assert clara.get(reverse("admin:trail_export", args=[export.id])).status_code == 404, "not made yet"


@pytest.mark.parametrize("name", ["bruno", "ana", "davi"])
def test_not_for_everybody(cast: Cast, as_person: SignIn, waiting: Promotion, name: str) -> None:
    assert as_person(name).get(reverse("admin:trail_exports")).status_code == 403
    assert as_person(name).post(reverse("admin:trail_exports"), GOOD).status_code == 403
    assert not AuditExport.objects.exists()


def test_every_verb_has_a_sentence_in_both_languages() -> None:
    from django.utils import translation

    for verb in verbs.all_verbs():
        with translation.override("en"):
            english = verbs.sentence(verb, "Ana", "x@1")
        with translation.override("pt-br"):
            portuguese = verbs.sentence(verb, "Ana", "x@1")
        assert english != portuguese, verb
        for text in (english, portuguese):
            assert "Ana" in text, verb
            assert "{" not in text, verb
