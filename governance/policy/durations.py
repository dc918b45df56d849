"""Durations as policies write them: `30d`, `12h`."""

from __future__ import annotations

import re
from datetime import timedelta

DURATION = r"^[1-9][0-9]{0,4}[dh]$"


def duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([dh])", text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return timedelta(**{{"d": "days", "h": "hours"}[match[2]]: int(match[1])})
