"""Run one check inside the confined child: JSON in, JSON out, whatever happens in between."""

from __future__ import annotations

import importlib
import math
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckError, CheckInput, CheckResult, Message

MAX_TEXT = 10_000  # as `results` takes it


def execute(check_input: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """The result of the check named in `check_input` as plain JSON values; never raises for the check's own failure.

    `files` maps roles to seekable binary files, already verified against their digests. A CheckError becomes
    `errored` with its message; any other failure `errored` with `check_crashed`, naming the exception's class and the
    place in our code but not its text, which may quote data. MemoryError is `out_of_memory`.
    """
    return guarded_answer(lambda: _run(CheckInput.from_json(check_input), files))


def guarded_answer(compute: Callable[[], CheckResult]) -> dict[str, Any]:
    """The result of `compute` as plain JSON; whatever it raises becomes an errored result that quotes no data."""
    try:
        answer: dict[str, Any] = plain(compute().to_json())
        return answer
    except CheckError as error:
        return _errored(error.message)
    except MemoryError:
        return _errored(Message("check_out_of_memory"))
    except (Exception, SystemExit) as error:
        return _errored(Message("check_crashed", {"exception": type(error).__name__, "where": _where(error)}))


def _run(inputs: CheckInput, files: dict[str, BinaryIO]) -> CheckResult:
    definition = CATALOGUE.get(inputs.check)
    if definition is None:
        raise CheckError("check_unknown", check=inputs.check)
    if definition.version != inputs.version:
        raise CheckError(
            "check_version_unknown", check=inputs.check, asked=inputs.version, installed=definition.version
        )
    _check_parameters(inputs.parameters, definition.parameters)
    from audits.checks.materials import Materials  # after the cheap refusals: imports pandas

    module, _, function = definition.function.partition(":")
    result = getattr(importlib.import_module(module), function)(inputs, Materials(inputs, files))
    if not isinstance(result, CheckResult):
        raise TypeError("a check returns a CheckResult")
    return result


def _check_parameters(parameters: dict[str, Any], schema: dict[str, Any]) -> None:
    import jsonschema

    try:
        jsonschema.validate(parameters, schema)
    except jsonschema.ValidationError as error:
        field = ".".join(str(step) for step in error.absolute_path) or "parameters"
        raise CheckError("parameters_invalid", field=field, problem=error.message[:200]) from None


def plain(value: Any, path: str = "result") -> Any:
    """`value` as JSON would bring it back: lists for tuples, exact built-in types, finite numbers.

    Raises CheckError `result_not_json` with the path of the first value that is not (numpy scalars included).
    """
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return _storable(value)
    if type(value) is float:
        if not math.isfinite(value):
            raise CheckError("result_not_json", path=path, type="NaN" if math.isnan(value) else "infinity")
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{position}]") for position, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise CheckError("result_not_json", path=path, type=type(key).__name__)
        return {key: plain(item, f"{path}.{key}") for key, item in value.items()}
    raise CheckError("result_not_json", path=path, type=type(value).__name__)


def _storable(text: str) -> str:
    """What a database can keep and a page can show: a group may be called anything, in a Parquet file."""
    shown = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return shown.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")


def _errored(message: Message) -> dict[str, Any]:
    try:
        result: dict[str, Any] = plain(CheckResult("errored", error=message).to_json())
    except CheckError as error:  # somebody's exception carried a value JSON does not know
        result = plain(CheckResult("errored", error=error.message).to_json())
    return result


def _where(error: BaseException) -> str:
    """module.function of our innermost frame: enough to find it, and free of data and machine paths."""
    ours = [
        frame.f_globals.get("__name__", "?") + "." + frame.f_code.co_name
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith("audits.checks")
    ]
    return ours[-1] if ours else "unknown"
