"""The worker's way into the confined child: files of the store in, an outcome back, a lease kept meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Event, Thread
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection

from audits import blobs
from audits.checks.contract import CheckResult, Message
from audits.checks.results import MalformedResult, parse_result
from audits.checks.zones import Zone, may_leave
from audits.confine import ConfinedOutcome, Limits, Zygote
from audits.confine.runner import ENTRY
from audits.fetching import NotFetched, fetched
from audits.services.check_runs import LEASE, failed_result

RENEW_SECONDS = LEASE.total_seconds() / 4
log = logging.getLogger(__name__)


@cache
def zygote() -> Zygote:
    """One per worker process, started with its first check."""
    return Zygote()


@contextmanager
def kept_alive(renewed: Callable[[], bool], what: str) -> Iterator[Event]:
    """Renew a lease from a thread, on its own connection, for as long as the block takes.

    The event is set once it is no longer ours: taken over, or cancelled. A child may then be ended.
    """
    finished, lost = Event(), Event()

    def keep() -> None:
        while not finished.wait(RENEW_SECONDS):
            try:
                if not renewed():
                    lost.set()
                    return
            except DatabaseError:
                log.warning("the lease of %s could not be renewed", what)
            finally:
                connection.close()

    thread = Thread(target=keep, name=f"lease of {what}", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        finished.set()
        thread.join()


_kept: ContextVar[tuple[ExitStack, dict[tuple[str, str], IO[bytes]]] | None] = ContextVar(
    "kept", default=None
)


@contextmanager
def fetched_once() -> Iterator[None]:
    """Data of a zone that the block's children read is fetched once, and gone at its end."""
    with ExitStack() as stack:
        before = _kept.set((stack, {}))
        try:
            yield
        finally:
            _kept.reset(before)


def _fetched(stack: ExitStack, source: str, digest: str) -> IO[bytes]:
    kept = _kept.get()
    if kept is None:
        return stack.enter_context(fetched(source, digest))
    keeper, files = kept
    if (source, digest) not in files:
        files[source, digest] = keeper.enter_context(fetched(source, digest))
    return files[source, digest]


def child_outcome(
    workspace: UUID,
    question: dict[str, Any],
    *,
    required_level: int,
    sources: dict[str, str] | None = None,
    lost: Event | None = None,
    entry: str = ENTRY,
) -> ConfinedOutcome:
    """What the child made of `question`, whose `materials` it gets as open files. Nothing is written.

    `entry`: the function that answers, where it is not that of the checks. `lost`: ends the child once it is set.
    `sources`: where data of a zone lies, by digest; the store has none of it.
    """
    materials = question["materials"]
    # Training data that cannot be read may have a stored sketch in their stead; one of the two is enough.
    pair = {"training", "reference"}
    pair = pair if pair <= {material["role"] for material in materials} else set()
    missing: dict[str, Message] = {}
    with ExitStack() as stack:
        files = {}
        for material in materials:
            digest = material["digest"]
            source = (sources or {}).get(digest)
            try:
                handle = (
                    stack.enter_context(blobs.opened(workspace, digest))
                    if source is None
                    else _fetched(stack, source, digest)
                )
            except NotFetched as error:
                params = {"role": material["role"], "reason": error.code}
                missing[material["role"]] = Message("zone_data_unreadable", params)
            except (OSError, ValueError):
                params = {"role": material["role"], "digest": material["digest"]}
                missing[material["role"]] = Message("material_unreadable", params)
            else:
                files[material["role"]] = handle.fileno()
                continue
            if material["role"] not in pair or pair <= set(missing):
                return ConfinedOutcome(error=missing[material["role"]])
        return zygote().run(
            question,
            files,
            limits=Limits(
                wall_seconds=settings.CRIVO_CHECK_SECONDS, memory_bytes=settings.CRIVO_CHECK_MEMORY
            ),
            required_level=required_level,
            digests={item["role"]: item["digest"] for item in materials if item["role"] in files},
            entry=entry,
            stopped=None if lost is None else lost.is_set,
        )


def answer_of(outcome: ConfinedOutcome, question: dict[str, Any]) -> tuple[CheckResult, dict[str, object]]:
    """The result of a confined run of `question`, and what it was computed in.

    In a data zone the result is cut down to what may leave it, here, before anybody else sees it.
    """
    if outcome.error is not None and outcome.error.code in ("material_unreadable", "zone_data_unreadable"):
        return CheckResult("errored", error=outcome.error), {}
    return cut_down(result_of(outcome), question), environment_of(outcome)


def cut_down(result: CheckResult, question: dict[str, Any]) -> CheckResult:
    """What of `result` may leave the data zone of `question`; all of it where there is none."""
    zone = Zone.of(question)
    return result if zone is None else may_leave(result, question, zone)


def environment_of(outcome: ConfinedOutcome) -> dict[str, object]:
    """What a confined run was computed in."""
    return {
        "seconds": round(outcome.seconds, 3),
        "max_rss_bytes": outcome.max_rss_bytes,
        "libraries": outcome.libraries,
        "confinement": (
            {"level": outcome.confinement.level, "mechanisms": list(outcome.confinement.mechanisms)}
            if outcome.confinement
            else None
        ),
    }


def result_of(outcome: ConfinedOutcome) -> CheckResult:
    """The result of a confined run, or the error it ended with."""
    if outcome.result is None:
        error = outcome.error or Message("check_crashed")
        return CheckResult(outcome="errored", error=Message(error.code, dict(error.params)))
    try:
        return parse_result(outcome.result)
    except MalformedResult as error:
        return failed_result("check_result_malformed", where=str(error)[:200])
