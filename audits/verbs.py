"""The verbs of the ledger: dotted, past tense, registered, each with a sentence. An unknown verb is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from django.utils.functional import Promise

_VERBS: dict[str, str | Promise] = {}
_LABELS: dict[re.Pattern[str], Callable[[Mapping[str, str]], str]] = {}


def register(verbs: Mapping[str, str | Promise]) -> None:
    _VERBS.update(verbs)


def sentence(verb: str, actor: str, subject: str) -> str:
    """One readable line: `Ana registered diabetes@2`."""
    return str(_VERBS[verb]).format(actor=actor, subject=spoken(subject))


def register_labels(labels: Mapping[str, Callable[[Mapping[str, str]], str]]) -> None:
    """Patterns of labels that hold words beside names, and how their parts are said in the reader's language."""
    _LABELS.update({re.compile(pattern): said for pattern, said in labels.items()})


def spoken(label: str) -> str:
    """A label as the reader would say it. What is recorded is English for good: the event's digest covers it."""
    for pattern, said in _LABELS.items():
        if found := pattern.fullmatch(label):
            return said(found.groupdict())
    return label


def all_verbs() -> Mapping[str, str | Promise]:
    return _VERBS


def assert_known(verb: str) -> None:
    if verb not in _VERBS:
        raise LookupError(
            f"verb {verb!r} is not registered: add it, with its sentence, to the verbs of its package"
        )
