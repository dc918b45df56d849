"""Run one check: claim it, let the confined child compute it, write down what came out. Called by the worker only."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from uuid import UUID

from django.conf import settings

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult, Message, Metric, Table
from audits.confine import Limits, Zygote
from audits.errors import Conflict
from audits.models import CheckRun
from audits.services.check_runs import MAX_ATTEMPTS, claim, complete_check_run, failed_result


@cache
def zygote() -> Zygote:
    """One per worker process, started with its first check."""
    return Zygote()


def run_check(run_id: UUID) -> CheckRun | None:
    """The finished run, or None if it was not ours to run."""
    run = claim(run_id)
    if run is None:
        return None
    command = Command(system_actor("worker", run.workspace_id))
    if run.attempts > MAX_ATTEMPTS:
        # The workers that took it before died over it: a fourth would, too.
        result, environment = failed_result("check_killed_workers", attempts=run.attempts - 1), {}
    else:
        result, environment = _computed(run)
    try:
        return complete_check_run(
            command=command, run_id=run.id, fence=run.fence, result=result, run_environment=environment
        ).value
    except Conflict:
        return None


def _computed(run: CheckRun) -> tuple[CheckResult, dict[str, object]]:
    with ExitStack() as stack:
        files = {}
        for material in run.input["materials"]:
            try:
                handle = stack.enter_context(blobs.opened(run.workspace_id, material["digest"]))
            except (OSError, ValueError):
                return failed_result(
                    "material_unreadable", role=material["role"], digest=material["digest"]
                ), {}
            files[material["role"]] = handle.fileno()
        outcome = zygote().run(
            run.input,
            files,
            limits=Limits(
                wall_seconds=settings.CRIVO_CHECK_SECONDS, memory_bytes=settings.CRIVO_CHECK_MEMORY
            ),
            required_level=run.confinement_level,
        )
    environment: dict[str, object] = {
        "seconds": round(outcome.seconds, 3),
        "max_rss_bytes": outcome.max_rss_bytes,
        "libraries": outcome.libraries,
        "confinement": (
            {"level": outcome.confinement.level, "mechanisms": list(outcome.confinement.mechanisms)}
            if outcome.confinement
            else None
        ),
    }
    if outcome.result is None:
        error = outcome.error or Message("check_crashed")
        return CheckResult(outcome="errored", error=Message(error.code, dict(error.params))), environment
    return _parsed(outcome.result), environment


def _parsed(data: dict[str, object]) -> CheckResult:
    """A result as the child wrote it. The child is not trusted: what does not have the shape of a result is an error."""
    try:
        return _result_from(data)
    except (TypeError, KeyError, ValueError):
        return failed_result("check_result_malformed")


def _result_from(data: dict[str, object]) -> CheckResult:
    outcome = data["outcome"]
    if outcome not in ("completed", "errored"):
        raise ValueError("outcome")

    def message(item: object) -> Message | None:
        return Message(**item) if isinstance(item, dict) else None

    def rows(name: str) -> list[dict[str, object]]:
        value = data.get(name) or []
        if not isinstance(value, list):
            raise TypeError(name)
        return value

    metrics = tuple(
        Metric(
            **{**item, "undefined": message(item.get("undefined")), "interval": _pair(item.get("interval"))}
        )  # type: ignore[arg-type]
        for item in rows("metrics")
    )
    tables = tuple(
        Table(**{**item, "columns": tuple(item["columns"]), "rows": tuple(map(tuple, item["rows"]))})  # type: ignore[arg-type, call-overload]
        for item in rows("tables")
    )
    notes = tuple(Message(**item) for item in rows("notes"))  # type: ignore[arg-type]
    if any((metric.value is None) != (metric.undefined is not None) for metric in metrics):
        raise ValueError("undefined")
    return CheckResult(
        outcome=outcome,  # type: ignore[arg-type]
        metrics=metrics,
        tables=tables,
        notes=notes,
        error=message(data.get("error")),
    )


def _pair(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = value  # type: ignore[misc]
    return float(low), float(high)
