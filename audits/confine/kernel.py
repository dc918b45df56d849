"""The kernel interfaces of the lock, through ctypes: prctl, capabilities, namespaces, Landlock, seccomp.

Every function raises OSError with the kernel's errno when the kernel says no; what a "no" means is decided in
`lock`. Nothing here allocates threads or keeps state.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
from typing import Final

from audits.confine.syscalls import number

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_prctl = _libc.prctl

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_GET_SECCOMP: Final = 21
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000

LANDLOCK_CREATE_RULESET_VERSION: Final = 1
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1

CAP_SYS_CHROOT: Final = 18
CAPABILITY_VERSION_3: Final = 0x20080522


def _check(value: int, what: str) -> int:
    if value < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return value


def syscall(name: str, *args: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make the call `name`; OSError(ENOSYS) where this architecture does not know it."""
    nr = number(name)
    if nr is None:
        raise OSError(errno.ENOSYS, f"{name}: no number for this machine")
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return _check(int(_syscall(ctypes.c_long(nr), *words)), name)


def prctl(option: int, *args: int) -> int:
    words = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    return _check(int(_prctl(ctypes.c_int(option), *words)), f"prctl({option})")


def unshare(flags: int) -> None:
    syscall("unshare", flags)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent goes. Cleared by a change of credentials: call it after one.

    The parent may have died just before the call, hence the comparison.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def last_capability() -> int:
    """Highest capability this kernel knows (the read fails with EINVAL beyond it)."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_READ, capability)
        except OSError:
            return capability - 1
    return 63


def bounding_set() -> list[int]:
    return [cap for cap in range(last_capability() + 1) if prctl(PR_CAPBSET_READ, cap)]


def drop_bounding_set() -> None:
    """Needs CAP_SETPCAP; without it the set stays, and no_new_privs makes it moot."""
    for capability in range(last_capability() + 1):
        prctl(PR_CAPBSET_DROP, capability)


def keep_only_capabilities(mask: int) -> None:
    """Effective and permitted sets become `mask`, ambient and inheritable empty, for this (single) thread."""
    with contextlib.suppress(OSError):  # ambient sets came with 4.3 and are empty where they don't exist
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("<Ii", CAPABILITY_VERSION_3, 0), 8)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = ctypes.create_string_buffer(struct.pack("<6I", low, low, 0, high, high, 0), 24)
    syscall("capset", header, data)


def capabilities() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of the calling thread, as bit masks."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    syscall("capget", header, data)
    low_e, low_p, low_i, high_e, high_p, high_i = struct.unpack("<6I", data.raw[:24])
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def landlock_abi() -> int:
    """ABI version of Landlock, OSError where the kernel has none (ENOSYS) or it is switched off
    (EOPNOTSUPP).
    """
    return syscall("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)


def landlock_rights(abi: int) -> tuple[int, int, int]:
    """All (file system, network, scope) rights ABI `abi` can take away.

    File system: 13 rights with ABI 1, then REFER, TRUNCATE, (none), IOCTL_DEV. Network: bind and connect
    TCP from ABI 4. Scope: abstract Unix sockets and signals to processes outside, from ABI 6.
    """
    bits = 13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16
    return (1 << bits) - 1, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0


def landlock_lock(abi: int) -> None:
    """Take away every right on every path and port: a rule set that handles all and allows nothing.

    Needs no_new_privs (or CAP_SYS_ADMIN). Source: Documentation/userspace-api/landlock.rst.
    """
    rights = landlock_rights(abi)
    words = 1 if abi < 4 else 2 if abi < 6 else 3  # the struct has grown; a longer one answers E2BIG
    attributes = struct.pack(f"<{words}Q", *rights[:words])
    ruleset = syscall(
        "landlock_create_ruleset",
        ctypes.create_string_buffer(attributes, len(attributes)),
        len(attributes),
        0,
    )
    try:
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def seccomp_install(program: bytes) -> None:
    """Install packed `sock_filter`s for every thread of this process, for good. Needs no_new_privs."""
    instructions = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    # TSYNC answers the id of a thread that could not be brought along: not an error code, but not a lock
    # either.
    if syscall(
        "seccomp",
        SECCOMP_SET_MODE_FILTER,
        SECCOMP_FILTER_FLAG_TSYNC,
        ctypes.create_string_buffer(fprog, len(fprog)),
    ):
        raise OSError(errno.EBUSY, "seccomp: a thread did not take the filter")
