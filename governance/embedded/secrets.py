"""The random secrets of one embedded default, made once and kept in one private file."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

from .errors import EmbeddedError
from .files import locked, write_private

FILE = "secrets.json"
LATER = ("notary",)
"""Added after others had been kept: made when they are missing."""


@dataclass(frozen=True)
class Secrets:
    """Passwords of the database's roles and of the broker, and Django's SECRET_KEY.

    Letters, digits, ``-`` and ``_`` only: they go into URLs, SQL and shells unquoted.
    """

    path: Path
    superuser: str
    migrator: str
    app: str
    notary: str
    broker: str
    secret_key: str

    @classmethod
    def of(cls, home: Path) -> Secrets:
        """Those kept in ``home``, made when there are none; EmbeddedError if unreadable."""
        path = home / FILE
        names = [field.name for field in fields(cls) if field.name != "path"]
        with locked(home / "secrets.lock"):
            if not path.exists():
                write_private(
                    path, json.dumps({name: secrets.token_urlsafe(36) for name in names}, indent=1) + "\n"
                )
            path.chmod(0o600)
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                missing = [name for name in LATER if name not in kept]
                kept |= {name: secrets.token_urlsafe(36) for name in missing}
                values = {name: str(kept[name]) for name in names}
                if missing:
                    write_private(path, json.dumps(values, indent=1) + "\n")
            except (ValueError, KeyError, TypeError) as error:
                raise EmbeddedError(
                    "secrets_damaged",
                    f"{path} is damaged: restore it from a copy, the database needs its passwords.",
                ) from error
        return cls(path=path, **values)

    def __repr__(self) -> str:
        return f"Secrets({str(self.path)!r})"
