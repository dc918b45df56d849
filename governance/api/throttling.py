"""How many requests one caller may make in a minute (CRIVO_RATES). A guard against loops that ran wild, no accounting.

Counted by principal: all tokens of a person together, each service token by itself; whoever shows no valid token, by
address. The counters are in the cache. If that is down everything is let through, and the log says so.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from audits.actors import Actor

WINDOW = 60  # seconds
PAUSE = 5.0  # seconds without asking a cache that was down: waiting for it would slow every request
log = logging.getLogger(__name__)
_down_until = 0.0


def count(rate: str, who: str) -> int | None:
    """Count one request; None if it may pass, else the seconds until the next may."""
    global _down_until
    limit = settings.CRIVO_RATES[rate]
    now = time.time()
    if limit <= 0 or now < _down_until:
        return None
    key = f"rate:{rate}:{who}:{int(now // WINDOW)}"
    try:
        cache.add(key, 0, timeout=2 * WINDOW)
        made = cache.incr(key)
    except ValueError:  # it was evicted between the two
        return None
    except Exception as error:  # whatever the cache's client raises: a limit is no reason to refuse service
        _down_until = now + PAUSE
        log.warning("requests are not counted, the cache does not answer: %s", type(error).__name__)
        return None
    return None if made <= limit else int(WINDOW - now % WINDOW) + 1


def address_of(request: HttpRequest) -> str:
    """The caller's address: as the outermost of our own proxies (CRIVO_PROXIES of them) saw it."""
    forwarded = [
        part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()
    ]
    proxies = settings.CRIVO_PROXIES
    if proxies and len(forwarded) >= proxies:
        return str(forwarded[-proxies])[:64]
    return str(request.META.get("REMOTE_ADDR") or "unknown")


def count_anonymous(request: Request) -> None:
    """For a request without a valid token; Throttled if its address made too many of them."""
    wait = count("anonymous", address_of(request._request))
    if wait is not None:
        raise Throttled(wait=wait)


class PerMinute(BaseThrottle):
    """The limit of whoever was authenticated; a view may name another one of CRIVO_RATES as `rate`."""

    def __init__(self) -> None:
        self._wait: int | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, Actor):
            self._wait = count(getattr(view, "rate", "principal"), str(request.user.id))
        else:
            self._wait = count("anonymous", address_of(request._request))
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait
