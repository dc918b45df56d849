"""From the embedded servers to the environment variables that the one settings file reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from .errors import EmbeddedError
from .files import private_folder, write_private
from .secrets import Secrets

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout."""

FILE = "env"


def default_home() -> Path:
    """The folder of everything that is not in git: CRIVO_HOME, else ``.crivo`` in the checkout."""
    chosen = os.environ.get("CRIVO_HOME")
    return Path(chosen).absolute() if chosen else PROJECT / ".crivo"


def outside(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """The servers of somebody else that ``environ`` names, which then replace the embedded ones.

    Not those of ``home`` itself, which are in the environment of a shell that has read its ``env``.
    EmbeddedError ``half_a_database`` when only one of the two roles' URLs is given.
    """
    names = ("DATABASE_URL", "DATABASE_MIGRATION_URL", "DATABASE_NOTARY_URL", "CELERY_BROKER_URL")
    own = load(home) if (home / FILE).exists() else {}
    given = {name: environ[name] for name in names if environ.get(name) and environ[name] != own.get(name)}
    if ("DATABASE_URL" in given) != ("DATABASE_MIGRATION_URL" in given):
        raise EmbeddedError(
            "half_a_database",
            "Set both DATABASE_URL (the serving role) and DATABASE_MIGRATION_URL (the migrating role), "
            "or neither: with neither, Crivo brings its own database.",
        )
    return given


def variables(
    home: Path,
    secrets: Secrets,
    *,
    database_url: str,
    migration_url: str,
    notary_url: str | None = None,
    broker_url: str,
    base_url: str,
) -> dict[str, str]:
    """The variables of every process. CRIVO_DATA and CRIVO_KEYS are folders, made private here.

    Without ``notary_url`` the notary works with the service's role.
    """
    return {
        "DATABASE_URL": database_url,
        "DATABASE_MIGRATION_URL": migration_url,
        **({"DATABASE_NOTARY_URL": notary_url} if notary_url else {}),
        "CELERY_BROKER_URL": broker_url,
        "SECRET_KEY": secrets.secret_key,
        "CRIVO_HOME": str(home),
        "CRIVO_DATA": str(private_folder(home / "data")),
        "CRIVO_KEYS": str(private_folder(home / "keys")),
        "CRIVO_BASE_URL": base_url,
    }


def save(home: Path, values: Mapping[str, str]) -> Path:
    """Write ``home``/env (0600), for django-environ and for a shell's ``.``; return its path."""
    for name, value in values.items():
        if "'" in value or "\n" in value:
            raise EmbeddedError(
                "unquotable", f"{name} contains a quote or a line break: choose another folder."
            )
    path = home / FILE
    header = "# Written by the embedded default at every start: set variables in your shell, not here.\n"
    text = header + "".join(f"{name}='{value}'\n" for name, value in values.items())
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_private(path, text)
    return path


def load(home: Path) -> dict[str, str]:
    """What ``save`` wrote; EmbeddedError ``no_environment`` where nothing was."""
    try:
        text = (home / FILE).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EmbeddedError(
            "no_environment", f"{home / FILE} does not exist yet: start script/server once, it writes it."
        ) from error
    return dict(re.findall(r"^([A-Z_]+)='([^'\n]*)'$", text, flags=re.MULTILINE))
