"""The lock: what a freshly forked child does to itself before it reads one foreign byte.

1. rlimits, no core dump, first victim of the out-of-memory killer
2. namespaces (network, IPC, UTS; user), as root first with root's rights, else inside a new user namespace;
   root also becomes an unprivileged user nobody else runs as
3. an empty directory as root directory, where we may
4. no capability left, bounding set included
5. no_new_privs, Landlock with no paths, seccomp

The order matters: each step needs something a later one takes away. A step the kernel refuses is left out,
not fatal: the caller compares what holds with what is required. Each mechanism is reported only after a
*probe* tried to do what it forbids, because a kernel, a container or a translation layer may answer "done"
and do nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Callable

from audits.confine import kernel, seccomp, syscalls
from audits.confine.outcome import Limits

# A block of ids no distribution hands out (below 2^31, above the ranges of containers and systemd). One per
# job, so that two jobs of one worker can't signal or trace each other even without seccomp.
FIRST_JOB_UID = 0x7E000000
NOBODY = 65534


def lock_down(limits: Limits, *, parent: int, empty_root: int | None) -> tuple[str, ...]:
    """Lock this process for good and return the mechanisms that hold. Must run single-threaded.

    `parent` is the process to die with; `empty_root` a descriptor of an empty, already removed directory.
    """
    if len(os.listdir("/proc/self/task")) != 1:  # capset, unshare and Landlock act on the calling thread only
        return ()
    held: list[str] = []
    privileged = os.geteuid() == 0
    _be_first_to_go()
    held += _limit(limits)
    mine = os.open("/proc/self/ns", os.O_RDONLY | os.O_DIRECTORY)  # /proc is out of sight below an empty root
    held += _namespaces_of_root(mine)
    if privileged:
        held += _become_nobody()
    held += _namespaces_of_user(mine, held)
    os.close(mine)
    if empty_root is not None:  # not earlier: a process below another root gets no user namespace
        held += _enter(empty_root)
    if "user_namespace" in held:
        # Only here the kernel counts threads for this job alone; elsewhere the count is the whole user's.
        _lower(resource.RLIMIT_NPROC, limits.threads)
    held += _drop_privileges()
    kernel.prctl(
        kernel.PR_SET_DUMPABLE, 0
    )  # piped core handlers ignore RLIMIT_CORE, and a core holds the data
    kernel.die_with_parent(parent)
    held += _no_new_privs()
    if "no_new_privs" in held:
        held += _landlock()
        held += _seccomp()
    return tuple(held)


def _attempt(step: Callable[[], object]) -> bool:
    try:
        step()
    except OSError:
        return False
    return True


def _refused(step: Callable[[], object], *codes: int) -> bool:
    """True when the kernel answers one of `codes`: the probe that a door is closed."""
    try:
        step()
    except OSError as error:
        return error.errno in codes
    return False


def _be_first_to_go() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _mapped() -> tuple[int, int]:
    """(address space, data + stack) of this process in bytes, from proc_pid_statm(5)."""
    with open("/proc/self/statm") as file:
        fields = file.read().split()
    return int(fields[0]) * resource.getpagesize(), int(fields[5]) * resource.getpagesize()


def _lower(which: int, soft: int, hard: int | None = None) -> bool:
    """Set a limit, never above the hard limit there is (an ordinary user may only go down)."""
    hard = soft if hard is None else hard
    _, ceiling = resource.getrlimit(which)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    try:
        resource.setrlimit(which, (soft, hard))
    except (OSError, ValueError):
        return False
    return resource.getrlimit(which) == (soft, hard)


def _limit(limits: Limits) -> list[str]:
    space, data = _mapped()
    done = [
        _lower(resource.RLIMIT_AS, space + limits.memory_bytes),
        _lower(resource.RLIMIT_DATA, data + limits.memory_bytes),
        # Soft: SIGXCPU, which foreign code may ignore; hard: SIGKILL, which it may not.
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        _lower(resource.RLIMIT_FSIZE, 0),
        _lower(resource.RLIMIT_NOFILE, 256),
        _lower(resource.RLIMIT_CORE, 0),
        _lower(resource.RLIMIT_MEMLOCK, 0),
        _lower(resource.RLIMIT_MSGQUEUE, 0),
        _lower(resource.RLIMIT_SIGPENDING, 1024),
    ]
    return ["rlimits"] if all(done) else []


_NAMESPACES = {
    "network_namespace": ("net", kernel.CLONE_NEWNET),
    "ipc_namespace": ("ipc", kernel.CLONE_NEWIPC),
    "uts_namespace": ("uts", kernel.CLONE_NEWUTS),
}
_USER_NAMESPACE = {"user_namespace": ("user", kernel.CLONE_NEWUSER)}


def _leave(mine: int, spaces: dict[str, tuple[str, int]]) -> list[str]:
    """Leave these namespaces; those whose link then names another one are held. None if the kernel refuses.

    `mine` is a descriptor of /proc/self/ns.
    """
    flags = 0
    for _, flag in spaces.values():
        flags |= flag
    before = {name: os.readlink(kind, dir_fd=mine) for name, (kind, _) in spaces.items()}
    if not _attempt(lambda: kernel.unshare(flags)):
        return []
    return [name for name, (kind, _) in spaces.items() if os.readlink(kind, dir_fd=mine) != before[name]]


def _namespaces_of_root(mine: int) -> list[str]:
    """With root's rights where the worker has them: works also where user namespaces are switched off."""
    return _leave(mine, _NAMESPACES)


def _namespaces_of_user(mine: int, held: list[str]) -> list[str]:
    """A user namespace of our own (no ids mapped: nobody inside is anybody outside) and what is still
    missing.
    """
    missing = {name: pair for name, pair in _NAMESPACES.items() if name not in held}
    # Some systems allow the user namespace but nothing inside it, hence the second try.
    return _leave(mine, {**_USER_NAMESPACE, **missing}) or _leave(mine, _USER_NAMESPACE)


def _enter(directory: int) -> list[str]:
    """An empty root, so that not even the names of the host's files can be asked for. /proc is gone after
    this.
    """
    with contextlib.suppress(OSError):
        os.fchdir(directory)
        os.chroot(".")
        return ["empty_root"] if os.listdir("/") == [] else []
    return []


def _become_nobody() -> list[str]:
    _attempt(kernel.drop_bounding_set)  # needs CAP_SETPCAP, which goes with the user
    _attempt(lambda: kernel.prctl(kernel.PR_SET_KEEPCAPS, 1))
    for uid in (FIRST_JOB_UID + os.getpid(), NOBODY):  # a container may map 65,536 ids only
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            break
    # One survives until the root directory is changed: without a user namespace there is no other way to it.
    _attempt(lambda: kernel.keep_only_capabilities(1 << kernel.CAP_SYS_CHROOT))
    uids, gids = os.getresuid(), os.getresgid()
    return ["unprivileged_user"] if 0 not in (*uids, *gids) and not os.getgroups() else []


def _drop_privileges() -> list[str]:
    # A new user namespace starts with every capability inside it and a full bounding set.
    _attempt(kernel.drop_bounding_set)
    _attempt(lambda: kernel.keep_only_capabilities(0))
    if kernel.capabilities() != (0, 0, 0):
        return []
    return ["capabilities_dropped"] + ([] if kernel.bounding_set() else ["bounding_set_empty"])


def _no_new_privs() -> list[str]:
    with contextlib.suppress(OSError):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        return ["no_new_privs"] if kernel.prctl(kernel.PR_GET_NO_NEW_PRIVS) == 1 else []
    return []


def _open_root() -> None:
    os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))


def _landlock() -> list[str]:
    # The probe means something only if the same open worked before.
    if not _attempt(_open_root):
        return []
    try:
        abi = kernel.landlock_abi()
        kernel.landlock_lock(abi)
    except OSError:
        return []
    if not _refused(_open_root, errno.EACCES):
        return []
    extras = (["landlock_network"] if abi >= 4 else []) + (["landlock_scopes"] if abi >= 6 else [])
    return ["landlock", *extras]


def _seccomp() -> list[str]:
    arch = syscalls.machine()
    if arch not in syscalls.AUDIT_ARCH:
        return []
    try:
        kernel.seccomp_install(seccomp.build(os.getpid(), arch))
    except OSError:
        return []
    # Each call carries arguments that are harmless, and answer another errno, should the filter not hold.
    doors = (
        _refused(lambda: kernel.syscall("socket", -1, -1, -1), errno.EPERM),
        _refused(lambda: kernel.syscall("execve", None, None, None), errno.EPERM),
        _refused(
            lambda: kernel.syscall("clone", 0x800, 0, 0, 0, 0), errno.EPERM
        ),  # CLONE_SIGHAND alone: EINVAL
        _refused(lambda: kernel.syscall("clone3", None, 0), errno.ENOSYS),
        _refused(lambda: kernel.syscall("ptrace", -1, 0, 0, 0), errno.EPERM),
        _refused(lambda: kernel.syscall("openat", -1, None, 0, 0), errno.EPERM),
        _refused(lambda: kernel.syscall("kill", -os.getpgrp(), 0), errno.EPERM),
        _refused(lambda: kernel.syscall("io_uring_setup", 0, None), errno.EPERM),
        kernel.prctl(kernel.PR_GET_SECCOMP) == 2,
    )
    return ["seccomp"] if all(doors) else []
