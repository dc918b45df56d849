"""How an answer of the API is read: member by member, by its name and its type.

Unknown members are ignored (the API may grow); a missing or wrongly typed one means that this is no Crivo server, or
not one this client can talk to: `Unreachable` with the code `answer_unexpected`.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, cast, get_args, get_origin, get_type_hints

from governance.client.errors import Reason, Unreachable

T = TypeVar("T")


def unexpected(what: str) -> Unreachable:
    return Unreachable(
        f"The answer is not one of a Crivo server: {what}. Check CRIVO_URL, and that client and server are of the "
        "same version.",
        code="answer_unexpected",
    )


def member(data: Any, name: str, kind: type[T]) -> T:
    """`data[name]` if it is a `kind`; a whole number may stand for a float, but a bool for no number."""
    value = data.get(name) if isinstance(data, dict) else None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return cast(T, float(value))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise unexpected(f"“{name}” is missing or is no {kind.__name__}")
    return value


def optional(data: Any, name: str, kind: type[T]) -> T | None:
    return None if not isinstance(data, dict) or data.get(name) is None else member(data, name, kind)


def items(data: Any, name: str) -> list[dict[str, Any]]:
    found = member(data, name, list)
    if not all(isinstance(item, dict) for item in found):
        raise unexpected(f"“{name}” is not a list of objects")
    return found


def reasons_of(data: Any, name: str = "reasons") -> tuple[Reason, ...]:
    return tuple(reason_of(item) for item in items(data, name))


def reason_of(data: Any) -> Reason:
    return Reason(member(data, "code", str), member(data, "text", str), optional(data, "params", dict) or {})


@dataclass(frozen=True)
class Shape:
    """An answer with typed members; `raw` is the answer itself, as the server gave it.

    A field is read from the member of its name (or `called` so in its metadata) by its annotation: a plain type,
    `… | None`, another shape or a Reason, a list or tuple of them. One with a default is not in the answer.
    """

    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def read(cls, data: Any, **told: Any) -> Self:
        """`told` are fields that the answer does not say itself, or not in this form."""
        found = {name: _typed(data, key, hint) for name, key, hint in _members(cls) if name not in told}
        return cls(**found, **told, raw=data)


_KNOWN: dict[type, list[tuple[str, str, Any]]] = {}


def _members(shape: type[Shape]) -> list[tuple[str, str, Any]]:
    """(field, member, type) of everything that is read from an answer; annotations are looked up once."""
    if shape not in _KNOWN:
        hints = get_type_hints(shape)
        _KNOWN[shape] = [
            (one.name, one.metadata.get("called", one.name), hints[one.name])
            for one in fields(shape)
            if one.default is MISSING and one.default_factory is MISSING
        ]
    return _KNOWN[shape]


def _typed(data: Any, name: str, hint: Any) -> Any:
    if hint is Any:
        return data.get(name) if isinstance(data, dict) else None
    if get_origin(hint) is UnionType:
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
        if not isinstance(data, dict) or data.get(name) is None:
            return None
    kind, inner = get_origin(hint) or hint, (*get_args(hint), None)[0]
    if kind in (list, tuple):
        found = member(data, name, list) if inner in (str, Any) else items(data, name)
        return kind(_one(item, inner) for item in found)
    if _is_object(kind):
        return _one(member(data, name, dict), kind)
    return member(data, name, kind)


def _one(item: Any, kind: Any) -> Any:
    if kind is str:
        return str(item)
    if kind is Reason:
        return reason_of(item)
    return kind.read(item) if _is_object(kind) else item


def _is_object(kind: Any) -> bool:
    return kind is Reason or (isinstance(kind, type) and issubclass(kind, Shape))
