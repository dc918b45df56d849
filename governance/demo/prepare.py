"""`python -m governance.demo.prepare`: the first half of the story, on the server of this installation.

So that whoever logs in for the first time finds one promotion refused and one waiting for people. Reads
CRIVO_BASE_URL and CRIVO_DATA. Does nothing where that was done before; where it was interrupted, it starts again with
new versions.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from governance.client import Crivo, CrivoError
from governance.client.shapes import Promotion
from governance.demo import story, study
from governance.demo.stage import NotHeldError, Stage

SESSION_FILE = "demo-session.json"


def say(sentence: str) -> None:
    print(sentence, flush=True)


def prepared_before(found: list[Promotion]) -> bool:
    """One version was refused at homologation, and another one came past the checks there, whatever became of it."""
    there = [row for row in found if row.to == "homologation"]
    refused = {row.n for row in there if row.state == "refused"}
    return bool(refused) and any(row.n not in refused and row.state != "checking" for row in there)


def prepare(base_url: str, data: Path) -> bool:
    """Whether there was anything to do. Raises NotHeldError and CrivoError."""
    tokens = json.loads((data / SESSION_FILE).read_text(encoding="utf-8"))["tokens"]
    with Crivo(base_url, tokens["pipeline"]) as pipeline:
        if prepared_before(pipeline.promotions(model=study.MODEL, limit=500)):
            return False
    with tempfile.TemporaryDirectory(prefix="crivo-demo-") as folder:
        story.prepare(Stage(base_url, tokens, Path(folder), Path(folder), say))
    return True


def main() -> int:
    try:
        did = prepare(os.environ["CRIVO_BASE_URL"], Path(os.environ["CRIVO_DATA"]))
    except (NotHeldError, CrivoError) as error:
        say(f"The demonstration could not be prepared: {error}")
        return 1
    except (KeyError, OSError, ValueError) as error:
        say(f"The demonstration could not be prepared, it is not loaded (manage.py load_demo): {error}")
        return 1
    say("The demonstration is prepared." if did else "The demonstration was prepared already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
