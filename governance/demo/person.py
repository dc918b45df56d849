"""Somebody with a token: through the SDK, and through the command as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from governance.client import Crivo

PROJECT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Ended:
    """How a command ended. `json` is what it printed on stdout, for commands called with --json."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Person:
    name: str
    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        self.crivo = Crivo(self.url, self.token)

    def command(self, *arguments: object, seconds: float = 900) -> Ended:
        """`crivo …` as a shell would run it, with nothing but address and token in its environment."""
        environ = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
        }
        environ |= {"CRIVO_URL": self.url, "CRIVO_TOKEN": self.token, "PYTHONPATH": str(PROJECT)}
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "governance.client", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environ,
            timeout=seconds,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)
