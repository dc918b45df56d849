"""The verbs of the ledger: dotted, past tense, registered, each with a sentence. An unknown verb is an error."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise

_VERBS: dict[str, str | Promise] = {}


def register(verbs: Mapping[str, str | Promise]) -> None:
    _VERBS.update(verbs)


def sentence(verb: str, actor: str, subject: str) -> str:
    """One readable line: `Ana registered diabetes@2`."""
    return str(_VERBS[verb]).format(actor=actor, subject=subject)


def all_verbs() -> Mapping[str, str | Promise]:
    return _VERBS


def assert_known(verb: str) -> None:
    if verb not in _VERBS:
        raise LookupError(
            f"verb {verb!r} is not registered: add it, with its sentence, to the verbs of its package"
        )
