"""Wait in Airflow until a promotion is effective: for days, without a worker slot, while tokens are renewed.

    CrivoPromotionOperator(
        task_id="approved", model="scoring", version="{{ ti.xcom_pull('register') }}", to="production",
        reason="nightly training", url="https://crivo.example", token_file="/run/secrets/crivo-token",
    )

The operator asks for the promotion and defers. Its trigger lives in the triggerer, looks every `every` seconds, and
reads the token from its file for each look, so that a token renewed meanwhile is used and an expired one is no failure
as long as a new one comes. It keeps nothing but what `serialize` returns: a triggerer that restarts goes on where it
was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.exceptions import AirflowException
from airflow.models import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent
from crivo import Crivo, Refused, Unreachable, Usage

RENEWAL = 3600.0  # seconds that a token may be refused before it counts as gone
CLASSPATH = "crivo_airflow.CrivoPromotionTrigger"


def _client(url: str, token_file: str) -> Crivo:
    return Crivo(url, Path(token_file).read_text(encoding="utf-8").strip(), tries=1)


class CrivoPromotionTrigger(BaseTrigger):
    """Fires once the promotion is effective, over without a yes, or `until` (seconds since 1970 UTC) has come."""

    def __init__(
        self, url: str, token_file: str, promotion_id: str, until: float, every: float = 30.0
    ) -> None:
        super().__init__()
        self.url, self.token_file, self.promotion_id = url, token_file, promotion_id
        self.until, self.every = until, every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """No token in here: what is serialized lies in Airflow's database."""
        return CLASSPATH, {
            "url": self.url,
            "token_file": self.token_file,
            "promotion_id": self.promotion_id,
            "until": self.until,
            "every": self.every,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        refused_since: float | None = None
        while True:
            try:
                state = await asyncio.to_thread(self._look)
                refused_since = None
            except Refused as error:
                # 401: the token is being renewed. Anything else will not get better by waiting.
                if error.status != 401:
                    yield TriggerEvent({"status": "failed", "reasons": [error.detail]})
                    return
                refused_since = refused_since or time.monotonic()
                if time.monotonic() - refused_since > RENEWAL:
                    yield TriggerEvent({"status": "failed", "reasons": [error.detail]})
                    return
                state = None
            except (Unreachable, Usage, OSError):
                state = None  # an outage, or the token file is being replaced: look again
            if state is not None:
                yield TriggerEvent(state)
                return
            if time.time() >= self.until:
                yield TriggerEvent({"status": "timeout", "reasons": []})
                return
            await asyncio.sleep(self.every)

    def _look(self) -> dict[str, Any] | None:
        """What to fire with; None while it is pending."""
        with _client(self.url, self.token_file) as crivo:
            promotion = crivo.promotion(self.promotion_id)
        if promotion.effective:
            return {"status": "effective", "reasons": []}
        if promotion.state in ("checking", "awaiting_approval", "granted"):
            return None
        return {"status": promotion.state, "reasons": [reason.text for reason in promotion.reasons]}


class CrivoPromotionOperator(BaseOperator):
    """Ask for a promotion and wait, deferred, until it is effective. Fails with the reasons if it is refused."""

    template_fields = ("model", "version", "to", "reason")

    def __init__(
        self,
        *,
        model: str,
        version: int | str,
        to: str,
        reason: str,
        url: str,
        token_file: str,
        timeout: float = 14 * 86400,
        every: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.model, self.version, self.to, self.reason = model, version, to, reason
        self.url, self.token_file, self.timeout, self.every = url, token_file, timeout, every

    def execute(self, context: Any) -> None:
        with _client(self.url, self.token_file) as crivo:
            promotion = crivo.promote(
                self.model,
                int(self.version),
                to=self.to,
                reason=self.reason,
                key=_key(context),  # a retry of this task instance asks for the same promotion
            )
        self.defer(
            trigger=CrivoPromotionTrigger(
                self.url, self.token_file, promotion.id, time.time() + self.timeout, self.every
            ),
            method_name="resume",
        )

    def resume(self, context: Any, event: dict[str, Any]) -> None:
        if event["status"] != "effective":
            raise AirflowException(
                f"The promotion is {event['status']}. {' '.join(event['reasons'])}".strip()
            )


def _key(context: Any) -> str:
    instance = context["ti"]
    return f"{instance.dag_id}/{instance.task_id}/{instance.run_id}"[:200]
