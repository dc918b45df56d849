"""`script/demo`: a fresh stack on free ports with a throw-away data folder, and the whole story played on it."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from governance.client import CrivoError
from governance.demo import story
from governance.demo.stage import NotHeldError, Stage
from governance.embedded.errors import EmbeddedError
from governance.embedded.processes import SETUP
from governance.embedded.stack import EmbeddedStack

KEPT = ("export", "attestations", "vkey", "jwks.json", "session.json")
SESSION_FILE = "demo-session.json"
TAIL = 15


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/demo", description="Play the main job on a fresh Crivo.")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="leave export, attestations, vkey and jwks.json there"
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="afterwards stay up until Ctrl-C, with address, tokens and logins in DIR/session.json",
    )
    return parser


class EndedError(BaseException):
    """Somebody asked us to end."""


def _end(number: int, frame: FrameType | None) -> None:
    raise EndedError


def say(sentence: str) -> None:
    print(sentence, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve and options.keep is None:
        parser().error("--serve writes DIR/session.json: name the folder with --keep DIR")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _end)
    work = Path(tempfile.mkdtemp(prefix="crivo-demo-"))
    try:
        return _play(work, options.keep.absolute() if options.keep else work / "kept", serve=options.serve)
    except EndedError:
        say("\nStopped.")
        return 0 if options.serve and (options.keep / "session.json").exists() else 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave the folder behind
        if options.keep:
            (options.keep / "session.json").unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)


def _play(work: Path, keep: Path, *, serve: bool) -> int:
    began = time.monotonic()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if taken := [name for name in KEPT if (keep / name).exists()]:
            say(f"{keep} holds {', '.join(taken)} of an earlier run already. Name another folder.")
            return 2
    except OSError as error:
        say(f"{keep} cannot be used: {error.strerror}. Name another folder.")
        return 2
    stack = EmbeddedStack(
        work / "home",
        steps=[step for step in SETUP if not step.afterwards],
        fsync=False,
        throw_away=True,
        report=say,
    )
    try:
        with stack:
            say(f"Crivo runs at {stack.base_url} ({time.monotonic() - began:.0f} s).\n")
            session = json.loads((Path(stack.env["CRIVO_DATA"]) / SESSION_FILE).read_text(encoding="utf-8"))
            stage = Stage(stack.base_url, session["tokens"], work, keep, say)
            try:
                story.tell(stage, stack.superuser_url)
            except (NotHeldError, CrivoError) as error:
                say(f"\nNOT HELD: {error}\n")
                _logs(stack)
                return 1
            if serve:
                _serve(keep, stack, session)
    except EmbeddedError as error:
        say(str(error))
        return 1
    return 0


def _logs(stack: EmbeddedStack) -> None:
    """The end of every log: the folder is deleted in a moment."""
    for name in stack.processes:
        try:
            lines = stack.log_path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        say(f"{name}.log ends with:")
        for line in lines[-TAIL:]:
            say(f"  {line}")


def _serve(keep: Path, stack: EmbeddedStack, session: Mapping[str, object]) -> None:
    from governance.embedded.files import write_private

    found = {
        "base_url": stack.base_url,
        "tokens": session["tokens"],
        "logins": session["logins"],
        "superuser_database_url": stack.superuser_url,
    }
    write_private(keep / "session.json", json.dumps(found, indent=1) + "\n")
    say(f"\nCrivo stays up at {stack.base_url}; tokens and logins: {keep / 'session.json'}. Ctrl-C stops it.")
    while not (dead := stack.dead()):
        time.sleep(0.5)
    raise stack.death_of(dead[0])


if __name__ == "__main__":
    sys.exit(main())
