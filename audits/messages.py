"""Sentences behind stable codes. Persisted is only the code with its parameters; the sentence is made when read.

Each package keeps its own table (`messages.py`) and registers it from its AppConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.formats import get_format
from django.utils.functional import Promise

from audits.checks.contract import Message

_SENTENCES: dict[str, str | Promise] = {}


def register(sentences: Mapping[str, str | Promise]) -> None:
    for code, sentence in sentences.items():
        if _SENTENCES.get(code, sentence) is not sentence and str(_SENTENCES[code]) != str(sentence):
            raise ValueError(f"message code registered twice: {code}")
        _SENTENCES[code] = sentence


def known(code: str) -> bool:
    return code in _SENTENCES


class _Params(dict[str, Any]):
    """A parameter that is missing shows as its name, never as an exception on somebody's screen."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4g}".replace(".", get_format("DECIMAL_SEPARATOR"))
    if isinstance(value, dict) and "code" in value:
        return render(value)  # a message about a message: why a line of the dossier is not passed
    if isinstance(value, list | tuple):
        return ", ".join(str(_shown(item)) for item in value)
    return value


def render(message: Message | Mapping[str, Any] | None) -> str:
    """The sentence of a message in the language that is active now."""
    if message is None:
        return ""
    code, params = (
        (message.code, message.params)
        if isinstance(message, Message)
        else (message["code"], message.get("params") or {})
    )
    sentence = _SENTENCES.get(code)
    if sentence is None:
        return code
    try:
        return str(sentence).format_map(_Params({name: _shown(value) for name, value in params.items()}))
    except (ValueError, IndexError, AttributeError, TypeError):
        return code


def as_json(message: Message) -> dict[str, Any]:
    return {"code": message.code, "params": message.params, "text": render(message)}
