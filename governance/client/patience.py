"""How long to look at something that is not finished, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FIRST_POLL, POLL = 1.0, 25.0  # seconds the server is asked to hold a question back; it does so for at most 30


def waited(look: Callable[[float], T], done: Callable[[T], bool], seconds: float) -> T:
    """Look at least once, then with growing patience. A server that answers at once is not asked in a rush.

    Growing, because a server (or a proxy that drops our ETag) may not know that we have not seen the last change yet.
    """
    deadline = time.monotonic() + seconds
    found, poll = look(0), FIRST_POLL
    while not done(found) and (left := deadline - time.monotonic()) > 0:
        began = time.monotonic()
        found = look(min(left, poll))
        poll = min(poll * 2, POLL)
        early = 0.2 - (time.monotonic() - began)
        if early > 0 and not done(found):
            time.sleep(min(early, max(deadline - time.monotonic(), 0)))
    return found
