"""Become another user if asked, tie one's life to the parent's, then become the command. Run as a script.

    python -I -S launch.py '{"parent": 12, "death_signal": 15, "user": null, "namespace": [1000, 1000]}' CMD…

A process of its own instead of ``preexec_fn``, which may deadlock in a program with threads, and instead of
``unshare`` and ``setpriv``, which are old or absent on small systems. It imports the standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def call(name: str, *arguments: int) -> None:
    """A call of the C library that Python 3.11 does not offer; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter_namespace(uid: int, gid: int) -> None:
    """Appear as ``uid`` without leaving one's own files behind (user_namespaces(7)).

    PostgreSQL refuses to run as root; in here root's files belong to ``uid``, and root's power is gone.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),  # must come before gid_map
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def main(arguments: list[str]) -> None:
    options = json.loads(arguments[0])
    if (user := options.get("user")) is not None:
        os.setgroups([])
        os.setresgid(user[1], user[1], user[1])
        os.setresuid(user[0], user[0], user[0])
        os.environ["HOME"] = "/"
    if (namespace := options.get("namespace")) is not None:
        enter_namespace(namespace[0], namespace[1])
    if (death_signal := options.get("death_signal")) is not None:
        # After the change of identity, which clears it (prctl(2)).
        call("prctl", PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != options["parent"]:  # the parent died before it was set: nobody would tell us
            sys.exit(125)
    try:
        # A path, never a name: searching PATH imports a module, which the new user may not be able to read.
        os.execv(arguments[1], arguments[1:])  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"{arguments[1]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
