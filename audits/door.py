"""The one door: every change goes through a service, and every service through here.

In one transaction a service locks the heads of its subjects, asks the authoriser (403), checks the transition (409)
and the policy (422), saves, and records one event per subject changed. The decorator below supplies what is common:

1. the transaction itself, `durable`: a service is never part of another one (composition uses private functions);
2. the Idempotency-Key, written with the effect: a repeat gets the same answer, a different body 422, one in flight 409;
3. a refusal (403, 409, 412, 422) rolls everything back, then leaves its own event, before = after, in its own
   transaction; if that cannot be written, the answer is 503 and still nothing changed;
4. a deadlock or serialisation failure is tried again: nothing has been committed at that point.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from hashlib import sha256
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from django.apps import apps
from django.db import DatabaseError, OperationalError, connection, models, transaction
from django.utils import timezone

from audits.actors import Command, Idempotency, SubjectRef, authoriser
from audits.checks.contract import Message
from audits.errors import Conflict, Forbidden, LedgerUnavailable, Refusal, Unprocessable
from audits.ledger.record import record
from audits.models import IdempotencyRecord
from audits.verbs import assert_known

T = TypeVar("T", bound=models.Model)
P = ParamSpec("P")

ATTEMPTS = 4
KEY_LIFETIME = timedelta(hours=24)
RETRYABLE = {"40001", "40P01"}  # serialization_failure, deadlock_detected


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a service did. `created` False means: that was there already (same content), or it was changed."""

    value: T
    created: bool = True
    replayed: bool = False


def require(
    command: Command, action: str, ref: SubjectRef | None, *, remember_on: SubjectRef | None = None
) -> None:
    """403 unless the actor may. The refusal is remembered on `remember_on` or the subject itself."""
    if not authoriser().may(command.actor, action, ref):
        raise Forbidden("not_permitted", subject=remember_on or ref, action=action)


class _InFlight(Conflict):
    """The same request is being answered by another process: no event, the other one leaves it."""


def service(
    verb: str,
) -> Callable[[Callable[Concatenate[P], Result[T]]], Callable[Concatenate[P], Result[T]]]:
    """Declare a service. `verb` names what it does when it succeeds and what was refused when it does not."""

    def decorate(function: Callable[P, Result[T]]) -> Callable[P, Result[T]]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Result[T]:
            assert_known(verb)
            command = kwargs["command"]
            if not isinstance(command, Command):
                raise TypeError("a service takes command=Command(…)")
            try:
                return _attempt(lambda: _perform(function, args, kwargs, command))
            except Refusal as refusal:
                _remember(command, verb, refusal)
                raise

        call.verb = verb  # type: ignore[attr-defined]
        return call

    return decorate


def _attempt(perform: Callable[[], Result[T]]) -> Result[T]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return perform()
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) not in RETRYABLE or attempt == ATTEMPTS:
                raise
            time.sleep(0.02 * attempt)
    raise AssertionError("unreachable")


def _perform(
    function: Callable[..., Result[T]], args: tuple[Any, ...], kwargs: dict[str, Any], command: Command
) -> Result[T]:
    with transaction.atomic(durable=True):
        replayed = _claim_key(command)
        if replayed is not None:
            return replayed
        result = function(*args, **kwargs)
        _keep_key(
            command, result_model=result.value._meta.label, result_id=result.value.pk, created=result.created
        )
        return result


def _claim_key(command: Command) -> Result[Any] | None:
    """The earlier answer to the same key, or None after taking the key's lock for this transaction."""
    key = command.idempotency
    if key is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_lock_number(command, key)])
        if not cursor.fetchone()[0]:
            raise _InFlight("request_in_flight")
    stored = _stored(command, key)
    if stored is None:
        return None
    if stored.created_at < timezone.now() - KEY_LIFETIME:
        stored.delete()
        return None
    if stored.body_digest != key.body_digest:
        raise _KeyReused("idempotency_key_reused", field="Idempotency-Key")
    if stored.refusal is not None:
        raise _Replayed.of(stored.refusal)
    value = apps.get_model(stored.result_model)._base_manager.get(pk=stored.result_id)
    return Result(value, created=stored.created, replayed=True)


def _lock_number(command: Command, key: Idempotency) -> int:
    name = f"{command.token or command.actor.id} {key.method} {key.path} {key.key}".encode()
    return int.from_bytes(sha256(name).digest()[:8], "big", signed=True)


def _stored(command: Command, key: Idempotency) -> IdempotencyRecord | None:
    return IdempotencyRecord.objects.filter(
        principal=command.token or command.actor.id, method=key.method, path=key.path, key=key.key
    ).first()


class _KeyReused(Unprocessable):
    """Another body under a known key: a mistake of the client that concerns no subject."""


class _Replayed(Refusal):
    """A refusal told again: it left its event the first time."""

    @classmethod
    def of(cls, stored: dict[str, Any]) -> _Replayed:
        reasons = tuple(Message(reason["code"], reason["params"]) for reason in stored["reasons"])
        refusal = cls(stored["code"], reasons=reasons, field=stored["field"], **stored["params"])
        refusal.status = stored["status"]
        return refusal


def _keep_key(command: Command, **outcome: Any) -> None:
    key = command.idempotency
    if key is None:
        return
    IdempotencyRecord.objects.create(
        workspace_id=command.actor.workspace,
        principal=command.token or command.actor.id,
        method=key.method,
        path=key.path,
        key=key.key,
        body_digest=key.body_digest,
        **outcome,
    )


def _keep_refusal(command: Command, refusal: dict[str, Any]) -> None:
    """The key's lock went with the transaction that was rolled back: meanwhile the same request may have come again
    and been answered. Then that answer stands, and this one is asked to look again.
    """
    if command.idempotency is None:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_lock_number(command, command.idempotency)])
    if _stored(command, command.idempotency) is not None:
        raise _InFlight("request_in_flight")
    _keep_key(command, refusal=refusal)


def _remember(command: Command, verb: str, refusal: Refusal) -> None:
    if isinstance(refusal, _InFlight | _KeyReused | _Replayed) or refusal.subject is None:
        return
    stored = {
        "status": refusal.status,
        "code": refusal.code,
        "params": refusal.message.params,
        "reasons": [{"code": reason.code, "params": reason.params} for reason in refusal.reasons],
        "field": refusal.field,
    }
    try:
        with transaction.atomic(durable=True):
            _keep_refusal(command, stored)
            record(
                command,
                verb=verb,
                subject=refusal.subject,
                outcome="refused",
                reason=refusal.message,
                detail={"status": refusal.status, "reasons": stored["reasons"]},
            )
    except DatabaseError as error:
        raise LedgerUnavailable("ledger_unavailable") from error
