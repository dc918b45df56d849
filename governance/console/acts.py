"""What a person may do on a page with one reason and one button: each act is its service, which decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from audits.actors import Command
from audits.errors import NotFound
from audits.services import check_runs
from governance.models import Placement
from governance.services import (
    conditions,
    findings,
    glass,
    promotions,
    reviews,
    rollbacks,
    suspensions,
    waivers,
)


@dataclass(frozen=True)
class Act:
    slug: str
    label: Any
    permission: str
    states: frozenset[str]
    perform: Callable[..., object]


ACTS: dict[str, tuple[Act, ...]] = {
    "finding": (
        Act("answer", _("Answer the finding"), "finding.answer", frozenset({"open"}),
            lambda command, row_id, text: findings.answer_finding(command=command, finding_id=row_id, text=text)),
        Act("verify", _("It holds"), "finding.verify", frozenset({"answered"}),
            lambda command, row_id, text: findings.verify_finding(
                command=command, finding_id=row_id, holds=True, text=text)),
        Act("return", _("Send back"), "finding.verify", frozenset({"answered"}),
            lambda command, row_id, text: findings.verify_finding(
                command=command, finding_id=row_id, holds=False, text=text)),
        Act("close", _("Close the finding"), "finding.close", frozenset({"verified"}),
            lambda command, row_id, text: findings.close_finding(command=command, finding_id=row_id, text=text)),
    ),
    "waiver": (
        Act("approve", _("Approve"), "waiver.approve", frozenset({"requested"}),
            lambda command, row_id, text: waivers.approve_waiver(command=command, waiver_id=row_id, reason=text)),
        Act("refuse", _("Refuse"), "waiver.approve", frozenset({"requested"}),
            lambda command, row_id, text: waivers.refuse_waiver(command=command, waiver_id=row_id, reason=text)),
        Act("revoke", _("Revoke"), "waiver.revoke", frozenset({"requested", "approved"}),
            lambda command, row_id, text: waivers.revoke_waiver(command=command, waiver_id=row_id, reason=text)),
    ),
    "condition": (
        Act("report", _("It is fulfilled"), "condition.report", frozenset({"open"}),
            lambda command, row_id, text: conditions.report_condition(
                command=command, condition_id=row_id, text=text)),
        Act("verify", _("It holds"), "condition.verify", frozenset({"reported"}),
            lambda command, row_id, text: conditions.verify_condition(
                command=command, condition_id=row_id, holds=True, text=text)),
        Act("return", _("Send back"), "condition.verify", frozenset({"reported"}),
            lambda command, row_id, text: conditions.verify_condition(
                command=command, condition_id=row_id, holds=False, text=text)),
    ),
    "review": (
        Act("complete", _("It may stay"), "review.complete", frozenset({"open"}),
            lambda command, row_id, text: reviews.complete_review(command=command, review_id=row_id, reason=text)),
    ),
    "alarm": (
        Act("sign-off", _("Sign off"), "alarm.sign_off", frozenset({"open"}),
            lambda command, row_id, text: glass.sign_off_alarm(command=command, alarm_id=row_id, reason=text)),
    ),
    "glass": (
        Act("end", _("Shut it again"), "placement.break_glass", frozenset({"broken"}),
            lambda command, row_id, text: glass.end_glass(command=command, glass_id=row_id, reason=text)),
    ),
    "placement": (
        Act("suspend", _("Suspend"), "placement.suspend", frozenset({"live", "superseded"}),
            lambda command, row_id, text: suspensions.suspend_placement(
                command=command, placement_id=row_id, reason=text)),
        Act("reinstate", _("Reinstate"), "promotion.decide", frozenset({"suspended"}),
            lambda command, row_id, text: suspensions.reinstate_placement(
                command=command, placement_id=row_id, reason=text)),
        Act("rollback", _("Roll back to the version before"), "placement.rollback",
            frozenset({"live", "suspended"}), lambda command, row_id, text: _roll_back(command, row_id, text)),
        Act("withdraw", _("Withdraw"), "placement.withdraw", frozenset({"live", "superseded", "suspended"}),
            lambda command, row_id, text: suspensions.withdraw_placement(
                command=command, placement_id=row_id, reason=text)),
    ),
    "version": (
        Act("suspend", _("Suspend everywhere"), "placement.suspend", frozenset({"registered"}),
            lambda command, row_id, text: suspensions.suspend_version(
                command=command, version_id=row_id, reason=text)),
        Act("reinstate", _("Reinstate everywhere"), "promotion.decide", frozenset({"suspended"}),
            lambda command, row_id, text: suspensions.reinstate_version(
                command=command, version_id=row_id, reason=text)),
    ),
    "check": (
        Act("cancel", _("Cancel the check"), "check_run.cancel", frozenset({"queued", "running"}),
            lambda command, row_id, text: check_runs.cancel_check_run(
                command=command, run_id=row_id, reason=text)),
    ),
    "request": (
        Act("withdraw", _("Withdraw the request"), "promotion.withdraw",
            frozenset({"checking", "awaiting_approval"}),
            lambda command, row_id, text: promotions.withdraw_promotion(
                command=command, promotion_id=row_id, reason=text)),
    ),
}  # fmt: skip


def _roll_back(command: Command, placement_id: UUID, reason: str) -> object:
    """Away from this placement; another one that is live by then is not what the page was about."""
    rows = Placement.objects.filter(workspace_id=command.actor.workspace, id=placement_id)
    row = rows.select_related("model", "environment").first()
    if row is None:
        raise NotFound("not_found", kind="placement", name=str(placement_id))
    return rollbacks.roll_back(
        command=command,
        model=row.model.name,
        environment=row.environment.name,
        reason=reason,
        away_from=row.id,
    )
