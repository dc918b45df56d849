"""The section beside the live version: what it says, and that names of a stranger are only shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client

from governance.comparison import Comparison
from governance.comparison.compare import DataDiff, ImportanceShift, Shift
from governance.console import comparison as section
from governance.models import Promotion
from tests import scenario
from tests.cast import Cast
from tests.console.conftest import page_of
from tests.console.markup import read

SignIn = Callable[[str], Client]


def text_of(client: Client, promotion: Promotion, language: str = "en") -> str:
    return read(client.get(page_of(promotion), headers={"Accept-Language": language})).text


def test_with_nothing_live_it_says_so(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    text = text_of(as_person("bruno"), waiting)
    assert (
        "Beside the live version No other version of diabetes is live in production: there is nothing to compare."
        in text
    )


def test_what_it_shows_of_a_comparison(
    cast: Cast, as_person: SignIn, waiting: Promotion, monkeypatch: Any
) -> None:
    evil = "a\u202eb<script>alert(1)</script>"
    version = waiting.version

    def found(*_: Any) -> Comparison:
        return Comparison(
            version,
            waiting.environment,
            version,
            None,
            None,
            None,
            ImportanceShift(None, 0.5, 2, [Shift(evil, 0.4, 0.1)], ["weight"], ["bmi"]),
            DataDiff(
                False, True, [("patients@2", "d")], [], ["weight"], [], [("age", "text", "number")], 4, 4
            ),
        )

    monkeypatch.setattr(section, "compare", found)
    client = as_person("bruno")
    page = client.get(page_of(waiting)).content.decode()
    assert "<script>alert(1)" not in page
    assert "\u202e" not in page
    text = text_of(client, waiting)
    for said in (
        "Compared with diabetes@1. No part of the dossier",
        "Rank correlation over 2 shared columns: 0.500",
        "New columns: weight",
        "Columns no longer used: bmi",
        "0.400 0.100 0.300",
        "Other training data. Now also trained on: patients@2",
        "Columns of another type: age (text → number)",
    ):
        assert said in text, said


def test_what_cannot_be_read_leaves_the_page_whole(
    cast: Cast, as_person: SignIn, waiting: Promotion, monkeypatch: Any
) -> None:
    def broken(*_: Any) -> Comparison:
        raise TypeError("a result that is none")

    monkeypatch.setattr(section, "compare", broken)
    text = text_of(as_person("bruno"), waiting)
    assert "Beside the live version" not in text
    assert waiting.dossier_digest in text
    assert scenario.REQUEST_REASON in text
