"""UUID version 7 (RFC 9562 §5.7), made in Python: the standard library has it only from 3.14 on."""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """A new identifier: 48 bits of Unix milliseconds, then 74 random bits; sorts by the time it was made."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)
