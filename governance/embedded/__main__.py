"""``python -m governance.embedded serve | services | run | env``: what script/* call."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

from . import environment
from .errors import EmbeddedError
from .files import private_folder, try_lock
from .postgres import EmbeddedPostgres
from .processes import PROCESSES, SETUP, WITHOUT_DEMONSTRATION
from .stack import EmbeddedStack
from .supervisor import run, say, serve

DEFAULT_PORT = 8000


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m governance.embedded", description=__doc__)
    parser.add_argument(
        "--home",
        type=Path,
        help="folder for database, keys, files and logs (CRIVO_HOME; default: .crivo in the checkout)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="everything, in the foreground")
    serving.add_argument(
        "--port", help=f"port on loopback (CRIVO_PORT; default {DEFAULT_PORT}; 0: a free one)"
    )
    serving.add_argument(
        "--no-demonstration", action="store_true", help="do not load the demonstration into a new database"
    )
    commands.add_parser("services", help="only database and broker, in the foreground")
    commands.add_parser("env", help="print the variables of the last start, for a shell to read")
    running = commands.add_parser(
        "run", help="run a command with database and broker, starting them if need be"
    )
    running.add_argument(
        "--throw-away", action="store_true", help="on servers of its own, deleted afterwards"
    )
    running.add_argument(
        "--durable",
        action="store_true",
        help="with --throw-away: as safe from a power cut as a real one (slower)",
    )
    running.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command and its arguments"
    )
    return parser


def port_from(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise EmbeddedError(
            "bad_port", f"{text!r} is not a port: set CRIVO_PORT to a number from 1024 to 65535."
        )
    return port


def throw_away_stack(home: Path, *, durable: bool = False) -> EmbeddedStack:
    """Servers in a new folder below ``home``/tmp, after clearing away those of runs that were killed.

    Each run has its own, so that two test runs at once cannot drop each other's databases.
    """
    parent = private_folder(home / "tmp")
    for leftover in parent.iterdir():
        alive = leftover / "postgres.alive"
        free = try_lock(alive) if alive.exists() else None
        if free is not None:
            os.close(free)
            EmbeddedPostgres(leftover).destroy()
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(mkdtemp(dir=parent, prefix="run-"))
    return EmbeddedStack(folder, processes=(), steps=(), fsync=durable, throw_away=True)


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    home = (options.home or environment.default_home()).absolute()
    try:
        if options.command == "env":
            for name, value in environment.load(home).items():
                say(f"export {name}='{value}'")
            return 0
        if options.command == "serve":
            port = port_from(options.port or os.environ.get("CRIVO_PORT") or str(DEFAULT_PORT))
            return serve(serving_stack(home, port, demonstration=not options.no_demonstration))
        if options.command == "services":
            return serve(EmbeddedStack(home, processes=(), steps=(), outside=True, report=say))
        command = options.arguments[1:] if options.arguments[:1] == ["--"] else options.arguments
        if not command or shutil.which(command[0]) is None:
            raise EmbeddedError("no_command", f"There is no command {' '.join(command[:1])!r} to run.")
        if options.throw_away:
            return run(throw_away_stack(home, durable=options.durable), command)
        return run(EmbeddedStack(home, processes=(), steps=(), outside=True), command)
    except EmbeddedError as error:
        say(str(error))
        return 1


def serving_stack(home: Path, port: int, *, demonstration: bool) -> EmbeddedStack:
    steps = SETUP if demonstration else WITHOUT_DEMONSTRATION
    return EmbeddedStack(home, port=port, processes=PROCESSES, steps=steps, outside=True, report=say)


if __name__ == "__main__":
    sys.exit(main())
