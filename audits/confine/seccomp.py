"""The seccomp filter of a confined child: an allow-list of system calls, as classic BPF.

Everything not named answers EPERM: sockets, exec, fork, ptrace, every open, chmod, mount, bpf, keyctl,
io_uring, userfaultfd, and whatever the next kernel invents (numbers beyond NEWEST answer ENOSYS, which libc
expects of a call that is not there). Arithmetic on bytes that are already open needs few calls; an
allow-list does not age.

Threads are allowed (OpenMP, joblib's threading back-end, Arrow), processes are not: `clone` must carry
CLONE_THREAD. `clone3` hides its flags behind a pointer a filter can't follow, so it answers ENOSYS and libc
falls back to `clone`.

Source: Documentation/userspace-api/seccomp_filter.rst, struct seccomp_data in linux/seccomp.h.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from audits.confine.syscalls import AUDIT_ARCH, number

RET_KILL_PROCESS: Final = 0x80000000
RET_ERRNO: Final = 0x00050000
RET_ALLOW: Final = 0x7FFF0000

LD_ABS: Final = 0x20  # A = word of seccomp_data at k
JEQ: Final = 0x15
JGE: Final = 0x35
JSET: Final = 0x45
RET: Final = 0x06

OFFSET_NR: Final = 0
OFFSET_ARCH: Final = 4
OFFSET_ARGS: Final = 16  # six 64-bit words; both architectures are little-endian

X32_BIT: Final = 0x40000000
NEWEST: Final = 470  # beyond this, nobody has decided yet whether a call is harmless

CLONE_THREAD: Final = 0x00010000
CLONE_NEW_ANY: Final = 0x7E020000  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
AT_EMPTY_PATH: Final = 0x1000

PLAIN: Final = """
    read pread64 readv preadv write writev lseek close fstat fadvise64 dup dup3 pipe2 eventfd2 poll
    ppoll select pselect6 mmap mprotect munmap mremap madvise brk futex set_robust_list rseq sched_yield
    sched_getaffinity sched_getparam sched_getscheduler getcpu restart_syscall exit exit_group
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack getpid gettid getppid getuid
    geteuid getgid getegid getcwd clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
    times getrusage getrlimit sysinfo uname getrandom
""".split()  # noqa: SIM905  (a list to read)

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Not F_SETOWN + F_SETSIG (signals to others),
# not F_SETLEASE or locks (would stall the blob store).
FCNTL_COMMANDS: Final = (0, 1, 2, 3, 4, 1030)
# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS.
PRCTL_OPTIONS: Final = (3, 15, 21, 23, 39)


class Assembler:
    """Instructions `struct sock_filter {u16 code; u8 jt; u8 jf; u32 k}`; blocks jump forward only."""

    def __init__(self) -> None:
        self.program: list[tuple[int, int, int, int]] = []

    def emit(self, code: int, k: int, jt: int = 0, jf: int = 0) -> None:
        self.program.append((code, jt, jf, k & 0xFFFFFFFF))

    def load(self, offset: int) -> None:
        self.emit(LD_ABS, offset)

    def load_arg(self, index: int, high: bool = False) -> None:
        self.load(OFFSET_ARGS + 8 * index + (4 if high else 0))

    def ret(self, action: int) -> None:
        self.emit(RET, action)

    def when_call(self, nr: int, block: list[tuple[int, int, int, int]]) -> None:
        """Run `block` (which must end in a return) if the call number, held in A, is `nr`."""
        if len(block) > 255:
            raise ValueError("a BPF jump reaches 255 instructions")
        self.emit(JEQ, nr, 0, len(block))
        self.program.extend(block)

    def pack(self) -> bytes:
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in self.program)


def _allow() -> list[tuple[int, int, int, int]]:
    block = Assembler()
    block.ret(RET_ALLOW)
    return block.program


def _errno(value: int) -> list[tuple[int, int, int, int]]:
    block = Assembler()
    block.ret(RET_ERRNO | value)
    return block.program


def _if_arg_in(index: int, values: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Allow when the low word of an argument the kernel reads as 32 bits is one of `values`."""
    block = Assembler()
    block.load_arg(index)
    for value in values:
        block.emit(JEQ, value, 0, 1)
        block.ret(RET_ALLOW)
    block.ret(RET_ERRNO | errno.EPERM)
    return block.program


def _clone() -> list[tuple[int, int, int, int]]:
    block = Assembler()
    block.load_arg(0)
    block.emit(JSET, CLONE_NEW_ANY, 2, 0)  # a namespace: EPERM
    block.emit(JSET, CLONE_THREAD, 0, 1)
    block.ret(RET_ALLOW)
    block.ret(RET_ERRNO | errno.EPERM)
    return block.program


def _fstat_only() -> list[tuple[int, int, int, int]]:
    """libc's fstat is newfstatat(fd, "", buf, AT_EMPTY_PATH); a stat by path would tell which files the
    host has. (A hand-made call can still name a path with that flag: the empty root answers it.)
    """
    block = Assembler()
    block.load_arg(3)
    block.emit(JSET, AT_EMPTY_PATH, 0, 1)
    block.ret(RET_ALLOW)
    block.ret(RET_ERRNO | errno.EPERM)
    return block.program


def _read_own_limits() -> list[tuple[int, int, int, int]]:
    """prlimit64(0, resource, NULL, old): reading; never setting, never somebody else's."""
    block = Assembler()
    for index, high in ((0, False), (2, False), (2, True)):
        block.load_arg(index, high)
        block.emit(JEQ, 0, 1, 0)
        block.ret(RET_ERRNO | errno.EPERM)
    block.ret(RET_ALLOW)
    return block.program


def build(pid: int, arch: str) -> bytes:
    """The filter for the process `pid` (it may signal itself, nobody else) as packed `sock_filter`s.

    Raises KeyError for an architecture without a table: no filter, so no level 1.
    """
    program = Assembler()
    program.load(OFFSET_ARCH)
    program.emit(JEQ, AUDIT_ARCH[arch], 1, 0)
    program.ret(RET_KILL_PROCESS)  # 32-bit calls have other numbers: a way around the list
    program.load(OFFSET_NR)
    program.emit(JGE, X32_BIT, 0, 1)
    program.ret(RET_KILL_PROCESS)
    rules = {
        **dict.fromkeys(PLAIN, _allow()),
        "clone": _clone(),
        "clone3": _errno(errno.ENOSYS),
        "kill": _if_arg_in(0, (pid,)),
        "tgkill": _if_arg_in(0, (pid,)),
        "fcntl": _if_arg_in(1, FCNTL_COMMANDS),
        "prctl": _if_arg_in(0, PRCTL_OPTIONS),
        "newfstatat": _fstat_only(),
        "prlimit64": _read_own_limits(),
    }
    for name, block in rules.items():
        nr = number(name, arch)
        if nr is not None:
            program.when_call(nr, block)
    program.emit(JGE, NEWEST, 0, 1)
    program.ret(RET_ERRNO | errno.ENOSYS)
    program.ret(RET_ERRNO | errno.EPERM)
    return program.pack()
