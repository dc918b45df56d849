"""Every message is translated, with the same placeholders; and the compiled catalogue is the one Django reads."""

from __future__ import annotations

import re
from string import Formatter

import pytest
from babel.messages.catalog import Message
from django.utils import translation
from django.utils.translation import gettext, ngettext

from audits import messages
from audits.checks.contract import Message as Said
from governance.console import catalogue

PERCENT = re.compile(r"%\((\w+)\)[sd]")


def forms_of(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def placeholders(text: str) -> set[str]:
    if PERCENT.search(text):
        return set(PERCENT.findall(text))
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", catalogue.catalogues(), ids=lambda path: path.parent.parent.name)
def test_every_message_is_translated(path: object) -> None:
    assert path is not None
    kept = catalogue.read(path)  # type: ignore[arg-type]
    known: dict[object, Message] = {message.id: message for message in kept if message.id}
    missing, wrong = [], []
    for message in catalogue.extracted():
        if not message.id:
            continue
        key = tuple(message.id) if isinstance(message.id, list) else message.id
        translated = known.get(key)
        if translated is None or translated.fuzzy or not all(forms_of(translated.string)):
            missing.append(key)
            continue
        # `one row` may leave out the number that `3 rows` shows, so plural forms are held against the plural
        wanted = placeholders(forms_of(message.id)[-1])
        for place, form in enumerate(forms_of(translated.string)):
            found = placeholders(form)
            if found != wanted and not (place == 0 and len(forms_of(message.id)) == 2 and found <= wanted):
                wrong.append((key, form))
    assert missing == []
    assert wrong == []


def test_there_is_portuguese() -> None:
    assert [path.parent.parent.name for path in catalogue.catalogues()] == ["pt_BR"]


def test_what_is_found_where() -> None:
    found = {message.id: message for message in catalogue.extracted() if message.id}
    files = {name.replace("\\", "/") for message in found.values() for name, _ in message.locations}
    for expected in (
        "audits/sentences.py",
        "audits/checks/messages.py",
        "audits/plots/rates.py",
        "registry/sentences.py",
        "governance/sentences/core.py",
        "governance/roles.py",
        "governance/states.py",
        "templates/console/promotion.html",
    ):
        assert expected in files
    assert ("One promotion waits for your decision.", "%(n)s promotions wait for your decision.") in found
    assert not [name for name in files if name.startswith("tests/")]


def test_django_reads_what_was_compiled() -> None:
    with translation.override("pt-br"):
        assert gettext("Inbox") == "Caixa de entrada"
        assert ngettext(
            "One promotion waits for your decision.", "%(n)s promotions wait for your decision.", 3
        ).startswith("%(n)s promoções")
        assert messages.render(Said("limit_missed_min", {"value": 0.628, "limit": 0.8})).startswith("0,628")
        assert messages.render(Said("target_missing", {"role": "x", "column": "y"})).startswith(
            "Os dados de x não têm"
        )
    with translation.override("en"):
        assert gettext("Inbox") == "Inbox"
