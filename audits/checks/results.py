"""Read a result as a confined child wrote it. The child runs a stranger's model, so nothing in it is believed.

Standard library only. What does not have the exact shape of a CheckResult is a MalformedResult.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from audits.checks.contract import CheckResult, Message, Metric, Table

T = TypeVar("T")
MAX_ITEMS = 100_000
LARGEST = int(sys.float_info.max)
SCALARS = (str, int, float, bool, type(None))


class MalformedResult(ValueError):  # noqa: N818 - says what happened
    """The data are no result; the text says at which member."""


def parse_result(data: Any) -> CheckResult:
    """CheckResult from its JSON. Raises MalformedResult."""
    given = _members(data, "result", {"outcome", "metrics", "tables", "notes", "error"})
    if given["outcome"] not in ("completed", "errored"):
        raise MalformedResult("outcome")
    result = CheckResult(
        outcome=given["outcome"],
        metrics=_many(given["metrics"], "metrics", _metric),
        tables=_many(given["tables"], "tables", _table),
        notes=_many(given["notes"], "notes", _message),
        error=None if given["error"] is None else _message(given["error"]),
    )
    if (result.error is None) != (result.outcome == "completed"):
        raise MalformedResult("error")
    return result


def _members(value: Any, where: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise MalformedResult(where)
    return value


def _many(value: Any, where: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise MalformedResult(where)
    return tuple(read(item) for item in value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > 10_000 or "\x00" in value:
        raise MalformedResult(where)
    return value


def _optional(value: Any, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedResult(where)
    if isinstance(value, int) and abs(value) > LARGEST:  # a whole number in JSON may have thousands of digits
        raise MalformedResult(where)
    if not math.isfinite(value):
        raise MalformedResult(where)
    return value


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise MalformedResult(where)
    return value


def _message(value: Any) -> Message:
    given = _members(value, "message", {"code", "params"})
    if not isinstance(given["params"], dict):
        raise MalformedResult("message")
    return Message(
        _text(given["code"], "message"), {_text(k, "message"): _json(v) for k, v in given["params"].items()}
    )


def _json(value: Any, depth: int = 0) -> Any:
    if depth > 4:
        raise MalformedResult("too deep")
    if isinstance(value, list):
        return [_json(item, depth + 1) for item in value[:1000]]
    if isinstance(value, dict):
        return {_text(key, "member"): _json(item, depth + 1) for key, item in value.items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value, "cell")
    if isinstance(value, float):
        return _number(value, "cell")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        raise MalformedResult("cell")
    if not isinstance(value, SCALARS):
        raise MalformedResult("cell")
    return value


def _metric(value: Any) -> Metric:
    given = _members(value, "metric", set(Metric.__dataclass_fields__))
    name = _text(given["metric"], "metric")
    interval = given["interval"]
    if interval is not None and not (isinstance(interval, list | tuple) and len(interval) == 2):
        raise MalformedResult(f"{name}.interval")
    if not isinstance(given["denominators"], dict):
        raise MalformedResult(f"{name}.denominators")
    metric = Metric(
        metric=name,
        value=None if given["value"] is None else _number(given["value"], name),
        attribute=_optional(given["attribute"], name),
        group=_optional(given["group"], name),
        interval=None if interval is None else (_number(interval[0], name), _number(interval[1], name)),
        level=None if given["level"] is None else _number(given["level"], name),
        n=None if given["n"] is None else _count(given["n"], name),
        denominators={_text(k, name): _count(v, name) for k, v in given["denominators"].items()},
        undefined=None if given["undefined"] is None else _message(given["undefined"]),
        minimum_n=None if given["minimum_n"] is None else _count(given["minimum_n"], name),
    )
    if (metric.value is None) != (metric.undefined is not None):
        raise MalformedResult(f"{name}: a value, or why there is none")
    if metric.interval is not None and metric.interval[0] > metric.interval[1]:
        raise MalformedResult(f"{name}.interval")
    return metric


def _table(value: Any) -> Table:
    given = _members(value, "table", {"id", "columns", "rows", "params"})
    columns = _many(given["columns"], "columns", lambda item: _text(item, "column"))

    def row(cells: Any) -> tuple[Any, ...]:
        if not isinstance(cells, list) or len(cells) != len(columns):
            raise MalformedResult("row")
        return tuple(_scalar(cell) for cell in cells)

    params = _json(given["params"])
    if not isinstance(params, dict):
        raise MalformedResult("params")
    return Table(_text(given["id"], "table"), columns, _many(given["rows"], "rows", row), params)
