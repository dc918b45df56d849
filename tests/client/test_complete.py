"""Every operation of the API has its method of the SDK, and every method asks an operation that there is.

Both lists are made, not written: operations are read from docs/openapi.yaml; every public method is called with
arguments made up from its signature, and what it first sends is matched with the addresses of the document.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import yaml

from governance.client import Crivo
from governance.client.errors import Usage
from governance.client.transport import Call

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"
MADE: dict[Any, Any] = {int: 1, float: 1.0, bool: True, list: [], Sequence: [], dict: {}, Mapping: {}}


class Asked(Exception):
    def __init__(self, call: Call) -> None:
        self.call = call
        super().__init__(f"{call.method} {call.path}")


class Unanswered:
    def send(self, call: Call) -> Any:
        raise Asked(call)


def operations() -> dict[str, re.Pattern[str]]:
    """`METHOD path` of the document → what matches an address of it."""
    found = {}
    for path, methods in yaml.safe_load(DOCUMENT.read_text())["paths"].items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + r"(\?.*)?")
        for method in methods:
            if method in ("get", "post", "put", "patch", "delete"):
                found[f"{method.upper()} {path}"] = pattern
    return found


def made_of(kind: Any, file: Path) -> Any:
    """Something of the type: of a union, of its first member."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, UnionType):
        return made_of(next(each for each in typing.get_args(kind) if each is not NoneType), file)
    if kind is Path:
        return file
    return MADE.get(origin or kind, "a")


def arguments(method: Any, file: Path, *, every: bool) -> dict[str, Any]:
    """Something for everything without a default; `every`: for everything."""
    hints, made = typing.get_type_hints(method), dict[str, Any]()
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            made |= {"name": "a"} if every else {}
        elif every or parameter.default is parameter.empty:
            made[name] = file if name in ("path", "file") else made_of(hints[name], file)
    return made | ({"verdict": "approve"} if "verdict" in made else {})


def what_is_sent(crivo: Crivo, name: str, file: Path) -> Call | None:
    method = getattr(crivo, name)
    for every in (False, True):
        try:
            answer = method(**arguments(method, file, every=every))
            if isinstance(answer, Iterator):
                next(answer)
        except Asked as asked:
            return asked.call
        except Usage:  # of what may be left out, something has to be given
            continue
        return None
    return None


def test_the_sdk_reaches_every_operation(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("a\n1\n")
    crivo = Crivo("https://crivo.example", "crv_token")
    crivo.transport = Unanswered()  # type: ignore[assignment]
    known, asked = operations(), dict[str, str]()
    for name, _ in inspect.getmembers(Crivo, callable):
        if name.startswith("_") or name in ("close", "from_environment"):
            continue
        call = what_is_sent(crivo, name, file)
        if call is None:
            asked[name] = "nothing"
            continue
        fits = [
            each for each, path in known.items()
            if each.startswith(f"{call.method} ") and path.fullmatch(call.path)
        ]  # fmt: skip
        # Of `policies/changes` and `policies/{name}` the first is meant.
        asked[name] = min(
            fits, key=lambda each: each.count("{"), default=f"unknown: {call.method} {call.path}"
        )
    assert not set(known) - set(asked.values()), "operations without a method"
    beyond = {name: what for name, what in asked.items() if what not in known}
    assert beyond == {"jwks": "unknown: GET /.well-known/jwks.json"}
