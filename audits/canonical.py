"""Identity: canonical JSON (RFC 8785) and SHA-256. Every stored digest carries its algorithm."""

from __future__ import annotations

import math
import re
from hashlib import sha256
from typing import Any

import rfc8785

# What is JSON but cannot be stored as it is: NUL (PostgreSQL), lone surrogates (UTF-8), and integers and floats that
# RFC 8785 cannot write down without losing digits (I-JSON, RFC 7493 section 2.2).
_UNTEXT = re.compile("[\x00\ud800-\udfff]")
SAFE_INTEGER = 2**53 - 1


def digest_of(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON of `value`. Raises rfc8785.CanonicalizationError for what is not JSON."""
    return f"sha256:{sha256(rfc8785.dumps(value)).hexdigest()}"


def storable(value: Any) -> tuple[Any, set[str]]:
    """`value` as it can be stored and hashed, and what had to change for that: "text" (characters replaced by
    U+FFFD), "number" (written as text). Unchanged values are returned as they are.
    """
    changed: set[str] = set()

    def clean(item: Any) -> Any:
        if isinstance(item, str):
            if _UNTEXT.search(item) is None:
                return item
            changed.add("text")
            return _UNTEXT.sub("\ufffd", item)
        if isinstance(item, bool) or item is None:
            return item
        if (isinstance(item, int) and abs(item) > SAFE_INTEGER) or (
            isinstance(item, float) and not math.isfinite(item)
        ):
            changed.add("number")
            return str(item)
        if isinstance(item, dict):
            return {clean(key): clean(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [clean(inner) for inner in item]
        return item

    cleaned = clean(value)
    return (cleaned, changed) if changed else (value, changed)
