"""The filter as a program: interpreted here, so that the other architecture is tested too."""

from __future__ import annotations

import errno
import struct

import pytest

from audits.confine import seccomp
from audits.confine.syscalls import AUDIT_ARCH, NUMBERS, number

PID = 4242
EPERM = seccomp.RET_ERRNO | errno.EPERM
ENOSYS = seccomp.RET_ERRNO | errno.ENOSYS


def answer(program: bytes, arch: int, nr: int, *args: int) -> int:
    """A classic BPF machine, as far as the filter uses it."""
    data = struct.pack("<IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *(*args, 0, 0, 0, 0, 0, 0)[:6])
    accumulator, at = 0, 0
    while True:
        code, jt, jf, k = struct.unpack_from("<HBBI", program, at * 8)
        at += 1
        if code == seccomp.LD_ABS:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == seccomp.RET:
            return int(k)
        else:
            holds = {
                seccomp.JEQ: accumulator == k,
                seccomp.JGE: accumulator >= k,
                seccomp.JSET: bool(accumulator & k),
            }[code]
            at += jt if holds else jf


@pytest.fixture(params=["x86_64", "aarch64"])
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(arch: str, name: str, *args: int) -> int:
    nr = number(name, arch)
    assert nr is not None
    return answer(seccomp.build(PID, arch), AUDIT_ARCH[arch], nr, *args)


def test_arithmetic_is_allowed(arch: str) -> None:
    for name in seccomp.PLAIN:
        if number(name, arch) is not None:
            assert ask(arch, name) == seccomp.RET_ALLOW, name


def test_everything_not_listed_is_refused(arch: str) -> None:
    column = 0 if arch == "x86_64" else 1
    listed = {pair[column] for name, pair in NUMBERS.items() if name in seccomp.PLAIN}
    conditional = {
        number(n, arch)
        for n in ("clone", "clone3", "kill", "tgkill", "fcntl", "prctl", "newfstatat", "prlimit64")
    }
    program = seccomp.build(PID, arch)
    for nr in range(seccomp.NEWEST):
        if nr not in listed | conditional:
            assert answer(program, AUDIT_ARCH[arch], nr, 1, 1, 1, 1) == EPERM, nr
    for nr in (seccomp.NEWEST, 512, 0x3FFFFFFF):
        assert answer(program, AUDIT_ARCH[arch], nr) == ENOSYS


def test_no_number_is_listed_twice(arch: str) -> None:
    numbers = [n for name in NUMBERS if (n := number(name, arch)) is not None]
    assert len(numbers) == len(set(numbers))


def test_other_numberings_are_killed(arch: str) -> None:
    program = seccomp.build(PID, arch)
    getpid = number("getpid", arch)
    assert getpid is not None
    assert answer(program, 0x40000003, getpid) == seccomp.RET_KILL_PROCESS  # AUDIT_ARCH_I386
    assert answer(program, AUDIT_ARCH[arch], seccomp.X32_BIT | getpid) == seccomp.RET_KILL_PROCESS
    assert answer(program, AUDIT_ARCH[arch], -1) == seccomp.RET_KILL_PROCESS


def test_threads_but_no_processes(arch: str) -> None:
    glibc_thread = 0x3D0F00  # VM|FS|FILES|SIGHAND|THREAD|SYSVSEM|SETTLS|PARENT_SETTID|CHILD_CLEARTID
    assert ask(arch, "clone", glibc_thread) == seccomp.RET_ALLOW
    assert ask(arch, "clone", 17) == EPERM  # SIGCHLD: fork
    assert ask(arch, "clone", 0x4111) == EPERM  # VFORK|VM|SIGCHLD: posix_spawn
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert ask(arch, "clone", glibc_thread | namespace) == EPERM
    assert ask(arch, "clone3", 1, 88) == ENOSYS


def test_signals_to_itself_only(arch: str) -> None:
    for name in ("kill", "tgkill"):
        assert ask(arch, name, PID) == seccomp.RET_ALLOW
        for other in (PID + 1, 1, 0, 0xFFFFFFFF, (1 << 32) - PID):
            assert ask(arch, name, other) == EPERM


def test_limits_are_read_never_set(arch: str) -> None:
    assert ask(arch, "prlimit64", 0, 7, 0, 0x7FFF00001000) == seccomp.RET_ALLOW
    assert ask(arch, "prlimit64", 0, 7, 0x1000, 0) == EPERM
    assert ask(arch, "prlimit64", 0, 7, 0x7FFF00000000, 0) == EPERM  # low word zero
    assert ask(arch, "prlimit64", 1, 7, 0, 0x1000) == EPERM


def test_stat_of_open_files_only(arch: str) -> None:
    assert ask(arch, "newfstatat", 3, 0x1000, 0x2000, seccomp.AT_EMPTY_PATH) == seccomp.RET_ALLOW
    assert ask(arch, "newfstatat", 0xFFFFFF9C, 0x1000, 0x2000, 0) == EPERM


@pytest.mark.parametrize(
    ("command", "allowed"), [(1, True), (3, True), (1030, True), (6, False), (8, False), (1024, False)]
)
def test_fcntl(arch: str, command: int, allowed: bool) -> None:
    assert ask(arch, "fcntl", 3, command) == (seccomp.RET_ALLOW if allowed else EPERM)


def test_unknown_architecture_has_no_filter() -> None:
    with pytest.raises(KeyError):
        seccomp.build(PID, "riscv64")
    assert number("read", "riscv64") is None
