"""Identity: canonical JSON (RFC 8785) and SHA-256. Every stored digest carries its algorithm."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import rfc8785


def digest_of(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON of `value`. Raises rfc8785.CanonicalizationError for what is not JSON."""
    return f"sha256:{sha256(rfc8785.dumps(value)).hexdigest()}"
