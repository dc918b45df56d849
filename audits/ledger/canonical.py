"""Canonical JSON (RFC 8785) as the ledger uses it. The one definition is in the stand-alone verifier."""

from __future__ import annotations

from hashlib import sha256

from audits.verifier import CanonicalError, canonical, parse_canonical

__all__ = ["CanonicalError", "canonical", "digest", "parse_canonical"]


def digest(value: object) -> str:
    """`sha256:<hex>` over the canonical JSON of a value, such as a state before and after a change."""
    return f"sha256:{sha256(canonical(value)).hexdigest()}"
