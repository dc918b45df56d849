"""What a policy says about time, findings and exceptions. Pure.

`fill` writes the defaults into a policy when it is parsed, so that its digest pins them; the readers below also read
policies that were applied before a term existed, and then answer the same default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from governance.policy import durations

DEFAULT_BLOCK_AT = "high"
DEFAULT_EXPIRES_AFTER = "30d"
DEFAULT_GLASS_HOURS = 24
DEFAULT_NOTICE = "14d"
DEFAULT_REVIEWER = "validator"
# Where the policy of an exclusive environment (production) does not say: how long a promotion stands unreviewed.
VALID_BY_TIER = {"high": "180d", "limited": "365d", "minimal": "730d"}

Overdue = Literal["block", "warn"]


@dataclass(frozen=True)
class WaiverTerms:
    role: str
    max_days: int


@dataclass(frozen=True)
class ReviewTerms:
    """`valid_for` None: nothing falls due."""

    valid_for: timedelta | None
    notice: timedelta
    role: str
    overdue: Overdue


def fill(body: dict[str, Any]) -> None:
    body.setdefault("findings", {}).setdefault("block_at", DEFAULT_BLOCK_AT)
    body.setdefault("expires_after", DEFAULT_EXPIRES_AFTER)
    body.setdefault("break_glass", {}).setdefault("max_hours", DEFAULT_GLASS_HOURS)
    review = body.setdefault("review", {})
    review.setdefault("role", DEFAULT_REVIEWER)
    review.setdefault("overdue", "block")
    review.setdefault("notice", DEFAULT_NOTICE)


def block_at(body: Mapping[str, Any]) -> str:
    """Open findings of this severity or a higher one shut the gate."""
    return str(body.get("findings", {}).get("block_at", DEFAULT_BLOCK_AT))


def waivers(body: Mapping[str, Any]) -> WaiverTerms | None:
    """None: this policy allows no exception."""
    terms = body.get("waivers")
    return WaiverTerms(terms["role"], terms["max_days"]) if terms else None


def review(body: Mapping[str, Any], *, tier: str = "", exclusive: bool = False) -> ReviewTerms:
    terms = body.get("review", {})
    stated = body.get("valid_for") or (VALID_BY_TIER.get(tier) if exclusive else None)
    return ReviewTerms(
        valid_for=durations.duration(stated) if stated else None,
        notice=durations.duration(terms.get("notice", DEFAULT_NOTICE)),
        role=terms.get("role", DEFAULT_REVIEWER),
        overdue="warn" if terms.get("overdue") == "warn" else "block",
    )


def expires_after(body: Mapping[str, Any]) -> timedelta:
    """How long a request may wait for its checks and for people."""
    return durations.duration(body.get("expires_after", DEFAULT_EXPIRES_AFTER))


def glass_hours(body: Mapping[str, Any] | None) -> int:
    """The longest a broken glass lets a version through; without any policy, the default."""
    return int((body or {}).get("break_glass", {}).get("max_hours", DEFAULT_GLASS_HOURS))
