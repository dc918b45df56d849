"""Querysets whose SQL is compiled once in a process: what the gate asks at every request.

Django builds and compiles a queryset anew at each use; for the roles of an actor that took longer than the database
needed to answer. Here only the text is kept, one for each shape of the arguments. No row and no answer is: each call
asks the database, so a suspension or a role taken away binds at its commit, as without this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Model, QuerySet

P = ParamSpec("P")
M = TypeVar("M", bound=Model)
R = TypeVar("R")
FILLED = (UUID, datetime, str)
LONGEST = 8  # values in a list: longer ones come in too many lengths to keep a text for each

_STAND_INS: dict[type, Callable[[int], Any]] = {
    UUID: lambda n: UUID(int=0xC41F0 << 100 | n),
    datetime: lambda n: datetime(8000, 1, 1, tzinfo=UTC) + timedelta(microseconds=n),
    str: lambda n: f"\ue000{n}",
}


def prepared(build: Callable[P, QuerySet[M, R]]) -> Callable[P, list[R]]:
    """The rows of the queryset that `build` makes of its arguments, given by name.

    UUIDs, times, texts and collections of them are filled in at each call, so `build` may only hand them on to the
    queryset: never decide by one. None, True and False belong to the shape, as does how long a collection is.
    RuntimeError: `build` read a clock or something else that changes, or a value never reached the database.
    """
    shapes: dict[tuple[Any, ...], _Shape] = {}

    @wraps(build)
    def rows(*args: P.args, **values: P.kwargs) -> list[R]:
        if args:
            raise TypeError(f"{build.__qualname__} takes its arguments by name")
        given: dict[str, Any] = {
            name: list(value) if isinstance(value, Collection) and not isinstance(value, str) else value
            for name, value in values.items()
        }
        if any(isinstance(value, list) and len(value) > LONGEST for value in given.values()):
            return list(build(*args, **values))
        key = tuple((name, _kind(value)) for name, value in given.items())
        if key not in shapes:
            shapes[key] = _Shape(build, given)
        return shapes[key].rows(given)

    return rows


def _kind(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_kind(item) for item in value)
    if value is None or isinstance(value, bool):
        return value
    kind = next((kind for kind in FILLED if isinstance(value, kind)), None)
    if kind is None:
        raise TypeError(f"{type(value).__name__} is not filled in")
    return kind


def _flat(given: dict[str, Any]) -> Iterator[Any]:
    for value in given.values():
        yield from value if isinstance(value, list) else [value]


class _Shape:
    """One text, and for each of its parameters which argument goes there, or what always does."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], given: dict[str, Any]) -> None:
        self.queryset, self.compiler, self.sql, self.parameters = _compiled(build, given, 0)
        # Once more with other values: whatever differs and is no argument must not be kept.
        _, _, sql, parameters = _compiled(build, given, 1000)
        if (sql, parameters) != (self.sql, self.parameters):
            raise RuntimeError(f"{build.__qualname__} depends on more than the shape of its arguments")
        self.converters = self.compiler.get_converters([row[0] for row in self.compiler.select or ()])
        used = {n for n, _ in self.parameters if n is not None}
        lost = [n for n, value in enumerate(_flat(given)) if isinstance(value, FILLED) and n not in used]
        if self.sql and lost:
            raise RuntimeError(f"{build.__qualname__} does not hand on all of its arguments")

    def rows(self, given: dict[str, Any]) -> list[Any]:
        if not self.sql:
            return []
        values = list(_flat(given))
        parameters = tuple(fixed if n is None else values[n] for n, fixed in self.parameters)
        compiler = copy(self.compiler)
        compiler.connection = connections[compiler.using]  # this thread's
        compiler.as_sql = lambda: (self.sql, parameters)
        compiler.get_converters = lambda expressions: self.converters
        queryset = self.queryset._chain()
        queryset.query.get_compiler = lambda using=None, connection=None: compiler
        return list(queryset)


def _compiled(
    build: Callable[..., QuerySet[Any, Any]], given: dict[str, Any], first: int
) -> tuple[Any, Any, str, list[tuple[int | None, Any]]]:
    """The queryset, its compiler, its text, and its parameters as (position of the argument, or None; else value)."""
    stand_ins: dict[Any, int] = {}

    def stand_in(value: Any) -> Any:
        if isinstance(value, list):
            return [stand_in(item) for item in value]
        n = next(position)
        if not isinstance(value, FILLED):
            return value
        made = _STAND_INS[_kind(value)](first + n)
        stand_ins[made] = n
        return made

    position = count()
    queryset: Any = build(**{name: stand_in(value) for name, value in given.items()})
    compiler = queryset.query.get_compiler(using=queryset.db)
    try:
        sql, parameters = compiler.as_sql()
    except EmptyResultSet:
        sql, parameters = "", ()
    return (
        queryset,
        compiler,
        sql,
        [
            (stand_ins[value], None) if isinstance(value, FILLED) and value in stand_ins else (None, value)
            for value in parameters
        ],
    )
