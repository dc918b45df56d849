from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from governance.demo import cast


class Command(BaseCommand):
    help = "Load the demonstration: people, tokens, policies. Doing it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.DATA)
        loaded = cast.load(folder)
        if home := os.environ.get("CRIVO_HOME"):
            # What script/server shows after a start.
            lines = ["Demonstration logins (admin pages):"]
            lines += [f"  {name:<6} {password}" for name, password in loaded.logins.items()]
            lines += [f"Tokens: {folder / cast.SESSION_FILE}"]
            path = Path(home) / "logins.txt"
            path.touch(mode=0o600)
            path.chmod(0o600)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.stdout.write(
            f"{len(loaded.logins)} people, {len(loaded.tokens)} tokens and "
            f"{len(list(cast.POLICIES.glob('*.yaml')))} policies for the use case diabetes-progression. "
            f"Passwords: {folder / cast.LOGINS_FILE}"
        )
