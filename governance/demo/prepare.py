"""`python -m governance.demo.prepare`: the first half of the story, on the server of this installation.

So that whoever logs in for the first time finds one promotion refused and one waiting for people. Reads
CRIVO_BASE_URL and CRIVO_DATA. Does nothing where the demonstration's model is registered already.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from governance.client import Crivo, CrivoError, Refused
from governance.demo import story, study

SESSION_FILE = "demo-session.json"


def say(sentence: str) -> None:
    print(sentence, flush=True)


def prepare(base_url: str, data: Path) -> bool:
    """Whether there was anything to do. Raises NotHeldError and CrivoError."""
    tokens = json.loads((data / SESSION_FILE).read_text(encoding="utf-8"))["tokens"]
    with Crivo(base_url, tokens["pipeline"]) as pipeline:
        try:
            if pipeline.promotions(model=study.MODEL, limit=1):
                return False
        except Refused as refusal:
            if refusal.status != 404:
                raise
    with tempfile.TemporaryDirectory(prefix="crivo-demo-") as folder:
        story.prepare(story.Stage(base_url, tokens, Path(folder), Path(folder), say))
    return True


def main() -> int:
    try:
        did = prepare(os.environ["CRIVO_BASE_URL"], Path(os.environ["CRIVO_DATA"]))
    except (story.NotHeldError, CrivoError) as error:
        say(f"The demonstration could not be prepared: {error}")
        return 1
    except (KeyError, OSError, ValueError) as error:
        say(f"The demonstration could not be prepared, it is not loaded (manage.py load_demo): {error}")
        return 1
    say("The demonstration is prepared." if did else "The demonstration was prepared already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
