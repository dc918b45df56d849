"""The command `crivo`; EPILOG has its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from governance.client.api import Crivo
from governance.client.commands import (
    access,
    auditing,
    brownfield,
    checking,
    environments,
    evidence,
    explaining,
    gating,
    lifecycle,
    listing,
    policies,
    privacy,
    promoting,
    registering,
    use_cases,
    watching,
    webhooks,
)
from governance.client.commands.common import Context
from governance.client.console import Console, plain
from governance.client.errors import CrivoError

EPILOG = """\
environment:
  CRIVO_URL     where the server is, e.g. http://localhost:8000
  CRIVO_TOKEN   who you are (crv_…); kept out of the command line, where others could read it
  NO_COLOR      no colour, also on a terminal

exit codes:
  0 yes or done   1 refused, with reasons   2 called wrongly   3 unreachable or broken   4 still pending
"""


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="the answer as JSON, for machines"
    )
    root = argparse.ArgumentParser(
        prog="crivo",
        description="Register, promote and verify models with Crivo.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--json", action="store_true", help="the answer as JSON, for machines")
    commands = root.add_subparsers(dest="name_of_command", metavar="COMMAND", required=True)
    for module in (
        use_cases,
        registering,
        promoting,
        gating,
        lifecycle,
        brownfield,
        auditing,
        policies,
        watching,
        webhooks,
        access,
        privacy,
        explaining,
        evidence,
        environments,
        checking,
        listing,
    ):
        module.declare(commands, common)
    return root


def main(arguments: Sequence[str] | None = None, *, console: Console | None = None) -> int:
    """Run one command; its exit code. Only argparse itself ends the process (2, or 0 for --help)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a terminal that cannot show a letter is no failure
    options = parser().parse_args(arguments)
    console = console or Console(as_json=getattr(options, "json", False))
    servers: list[Crivo] = []

    def server() -> Crivo:
        if not servers:
            servers.append(Crivo.from_environment())
        return servers[0]

    try:
        code: int = options.command(Context(server, console, options))
        console.out.flush()
        return code
    except CrivoError as error:
        with suppress(OSError):
            console.failure(error)
        return error.exit_code
    except KeyboardInterrupt:
        with suppress(OSError):
            console.note("Interrupted. What was asked for may go on on the server: crivo status shows it.")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`crivo … | head`); keep the interpreter from saying so at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("CRIVO_DEBUG"):
            raise
        console.note(
            f"Failed: the client itself went wrong ({type(error).__name__}: {plain(error)}). This is a defect of "
            "Crivo: please report it. With CRIVO_DEBUG=1 it shows where."
        )
        return 3
    finally:
        for crivo in servers:
            crivo.close()
