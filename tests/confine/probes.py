"""Entry points that try to get out. Each runs as `execute` does: in the child, after the lock.

They are what a hostile pickle could do: code of the attacker's choice, in this process, with ctypes at hand.
"""

# ruff: noqa: SIM115  (an open that works is the failure)
from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import multiprocessing
import multiprocessing.popen_fork
import os
import pickle
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from multiprocessing import shared_memory
from typing import Any, BinaryIO

LIBC = ctypes.CDLL(None, use_errno=True)
Files = dict[str, BinaryIO]
Json = dict[str, Any]


def attempt(action: Any) -> str:
    """`done`, or the name of the errno, or of the exception."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:
        return type(error).__name__
    return "done"


def raw(nr: int, *args: Any) -> str:
    """A system call without libc's wrapper: `done` or the name of the errno."""
    ctypes.set_errno(0)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    value = LIBC.syscall(ctypes.c_long(nr), *words)
    if value == 0 and nr in (56, 57, 58, 435):  # we are the child of a fork that should not have been
        os._exit(99)
    return errno.errorcode[ctypes.get_errno()] if value == -1 else "done"


def echo(check_input: Json, files: Files) -> Json:
    return {"input": check_input, "files": {name: file.read().decode() for name, file in files.items()}}


def unpickle(check_input: Json, files: Files) -> Json:
    return {"loaded": repr(pickle.load(files["artifact"]))}


def escapes(check_input: Json, files: Files) -> Json:
    """Every door there is, tried from Python."""

    def connect(family: int, address: Any) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.connect(address)

    def trace() -> None:
        if LIBC.ptrace(16, os.getppid(), 0, 0) == -1:
            raise OSError(ctypes.get_errno(), "ptrace")

    def start_process() -> None:
        subprocess.run(["/bin/true"], check=True)

    def via_multiprocessing() -> None:
        multiprocessing.get_context("fork").Process(target=print).start()

    actions = {
        "read_passwd": lambda: open("/etc/passwd"),
        "read_environ": lambda: open("/proc/self/environ"),
        "read_parent_environ": lambda: open(f"/proc/{os.getppid()}/environ"),
        "read_parent_memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
        "list_root": lambda: os.listdir("/"),
        "stat_passwd": lambda: os.stat("/etc/passwd"),
        "write_tmp": lambda: open("/tmp/escaped", "w"),
        "write_relative": lambda: open("escaped", "w"),
        "make_directory": lambda: os.mkdir("/tmp/escaped.d"),
        "make_fifo": lambda: os.mkfifo("/tmp/escaped.f"),
        "link": lambda: os.symlink("/etc/passwd", "/tmp/escaped.l"),
        "remove": lambda: os.unlink("/tmp/escaped"),
        "change_mode_of_artifact": lambda: os.fchmod(files["artifact"].fileno(), 0o777),
        "touch_artifact": lambda: os.utime(files["artifact"].fileno()),
        "write_artifact": lambda: os.write(files["artifact"].fileno(), b"x"),
        "truncate_artifact": lambda: os.ftruncate(files["artifact"].fileno(), 0),
        "reopen_artifact": lambda: os.open(f"/proc/self/fd/{files['artifact'].fileno()}", os.O_RDWR),
        "lock_artifact": lambda: fcntl.flock(files["artifact"], 6),
        "signal_owner_of_artifact": lambda: fcntl.fcntl(files["artifact"], 8, os.getppid()),
        "xattr_artifact": lambda: os.setxattr(files["artifact"].fileno(), "user.x", b"1"),
        "fork": os.fork,
        "forkpty": os.forkpty,
        "subprocess": start_process,
        "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "multiprocessing": via_multiprocessing,
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "tcp": lambda: connect(socket.AF_INET, ("127.0.0.1", 80)),
        "unix": lambda: connect(socket.AF_UNIX, "/run/x"),
        "abstract_unix": lambda: connect(socket.AF_UNIX, "\0x"),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "socketpair": socket.socketpair,
        "kill_parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
        "kill_all": lambda: os.kill(-1, signal.SIGKILL),
        "kill_group": lambda: os.killpg(0, signal.SIGKILL),
        "pidfd": lambda: os.pidfd_open(os.getppid()),
        "ptrace_parent": trace,
        "become_root": lambda: os.setresuid(0, 0, 0),
        "raise_limits": lambda: resource.setrlimit(9, (1 << 40, 1 << 40)),
        "limits_of_parent": lambda: resource.prlimit(os.getppid(), 7, (1, 1)),
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "schedule": lambda: os.sched_setaffinity(os.getppid(), {0}),
        "chroot": lambda: os.chroot("/"),
        "memfd": lambda: os.memfd_create("x"),
        "shared_memory": lambda: shared_memory.SharedMemory(create=True, size=1),
    }
    return {name: attempt(action) for name, action in actions.items()}


def raw_calls(check_input: Json, files: Files) -> Json:
    """x86_64 system calls by number, past every wrapper."""
    clone_thread = 0x00010000
    return {
        "fork": raw(57),
        "vfork": raw(58),
        "clone": raw(56, signal.SIGCHLD, 0, 0, 0, 0),
        "clone_newuser_thread": raw(56, 0x10000000 | clone_thread, 0, 0, 0, 0),
        "clone3": raw(435, None, 0),
        "execve": raw(59, b"/bin/true", None, None),
        "execveat": raw(322, -100, b"/bin/true", None, None, 0),
        "ptrace": raw(101, 16, os.getppid(), 0, 0),
        "process_vm_readv": raw(310, os.getppid(), None, 0, None, 0, 0),
        "process_vm_writev": raw(311, os.getppid(), None, 0, None, 0, 0),
        "mount": raw(165, None, b"/", b"tmpfs", 0, None),
        "bpf": raw(321, 0, None, 0),
        "keyctl": raw(250, 0, -3, 0),
        "add_key": raw(248, b"user", b"x", b"y", 1, -3),
        "unshare": raw(272, 0x10000000),
        "setns": raw(308, 0, 0),
        "io_uring_setup": raw(425, 1, None),
        "userfaultfd": raw(323, 0),
        "perf_event_open": raw(298, None, 0, -1, -1, 0),
        "personality": raw(135, 0x0040000),
        "open": raw(2, b"/etc/passwd", 0),
        "openat": raw(257, -100, b"/etc/passwd", 0),
        "openat2": raw(437, -100, b"/etc/passwd", None, 0),
        "open_by_handle_at": raw(304, -100, None, 0),
        "creat": raw(85, b"/tmp/escaped", 0o600),
        "tkill_parent": raw(200, os.getppid(), 9),
        "rt_sigqueueinfo": raw(129, os.getppid(), 9, None),
        "pidfd_getfd": raw(438, 0, 0, 0),
        "seccomp": raw(317, 1, 0, None),
        "prctl_dumpable": raw(157, 4, 1, 0, 0, 0),
        "prctl_pdeathsig": raw(157, 1, 0, 0, 0, 0),
        "ioctl_tiocsti": raw(16, 0, 0x5412, b"x"),
        "quotactl": raw(179, 0, None, 0, None),
        "reboot": raw(169, 0, 0, 0, None),
        "shmget": raw(29, 0, 4096, 0o1600),
        "msgget": raw(68, 0, 0o1600),
        "mq_open": raw(240, b"x", 66, 0o600, None),
        "future_call": raw(600),
        "stat_by_hand": raw(262, -100, b"/etc/passwd", ctypes.create_string_buffer(256), 0x1000),
    }


def surroundings(check_input: Json, files: Files) -> Json:
    """What the child can see without asking anybody."""
    descriptors = []
    for descriptor in range(256):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        descriptors.append(descriptor)
    return {
        "environment": sorted(os.environ),
        "argv": sys.argv,
        "descriptors": len(descriptors),
        "standard_are_null": [os.fstat(fd).st_rdev == os.makedev(1, 3) for fd in (0, 1, 2)],
        "uid_is_root": os.getuid() == 0,
        "django": "django" in sys.modules,
        "database": any(name.startswith("psycopg") for name in sys.modules),
        "cwd": attempt(os.getcwd),
        "hash": hash("crivo"),
    }


def threads(check_input: Json, files: Files) -> Json:
    """Threads are allowed: OpenMP and joblib need them."""
    seen: list[int] = []
    crowd = [threading.Thread(target=lambda i=i: seen.append(i)) for i in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return {"ran": sorted(seen)}


def thread_bomb(check_input: Json, files: Files) -> Json:
    """As many threads as there may be; how many that was."""
    stop = threading.Event()
    threading.stack_size(65536)
    count = 0
    try:
        while count < 5000:
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        pass
    return {"threads": count}


def fork_bomb(check_input: Json, files: Files) -> Json:
    refused = 0
    for _ in range(10_000):
        try:
            if os.fork() == 0:
                while True:
                    time.sleep(1)
        except OSError:
            refused += 1
    return {"refused": refused}


def memory_bomb(check_input: Json, files: Files) -> Json:
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))


def native_memory_bomb(check_input: Json, files: Files) -> Json:
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    mapped = 0
    for shared in (1, 2):  # MAP_SHARED memory isn't RLIMIT_DATA's business, but it is RLIMIT_AS's
        while True:
            address = LIBC.mmap(None, 16 << 20, 3, shared | 0x20, -1, 0)
            if address in (None, ctypes.c_void_p(-1).value):
                break
            ctypes.memset(address, 1, 16 << 20)
            mapped += 16 << 20
    return {"mapped": mapped}


def endless_loop(check_input: Json, files: Files) -> Json:
    while True:
        pass


def stubborn_loop(check_input: Json, files: Files) -> Json:
    """Ignores every signal that can be ignored."""
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            continue
    while True:
        pass


def sleeper(check_input: Json, files: Files) -> Json:
    time.sleep(3600)
    return {}


def _result_pipe() -> int:
    """The one FIFO among the descriptors."""
    for descriptor in range(3, 256):
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return descriptor
        except OSError:
            continue
    raise LookupError


def flood(check_input: Json, files: Files) -> Json:
    """Gigabytes after an honest header."""
    pipe, chunk = _result_pipe(), b"x" * (1 << 20)
    os.write(pipe, (4096).to_bytes(8, "big"))
    while True:
        os.write(pipe, chunk)


def huge_claim(check_input: Json, files: Files) -> Json:
    os.write(_result_pipe(), (1 << 62).to_bytes(8, "big") + b"x")
    time.sleep(3600)
    return {}


def huge_result(check_input: Json, files: Files) -> Json:
    return {"x": "y" * (32 << 20)}


def speak(payload: bytes, end: int = 0) -> None:
    os.write(_result_pipe(), len(payload).to_bytes(8, "big") + payload)
    os._exit(end)


def says(check_input: Json, files: Files) -> Json:
    """Writes the bytes it is told to as its answer, past our code, and leaves."""
    speak(check_input["text"].encode("latin-1"), check_input.get("end", 0))
    return {}


def cut_off(check_input: Json, files: Files) -> Json:
    os.write(_result_pipe(), (100).to_bytes(8, "big") + b'{"result"')
    os._exit(0)


def leaves(check_input: Json, files: Files) -> Json:
    os._exit(check_input.get("end", 0))


def answers_then_crashes(check_input: Json, files: Files) -> Json:
    payload = b'{"result":{"passed":true}}'
    os.write(_result_pipe(), len(payload).to_bytes(8, "big") + payload)
    ctypes.string_at(0)
    return {}


def second_report(check_input: Json, files: Files) -> Json:
    """Tries to claim a better confinement than it has."""
    pipe = _result_pipe()
    for payload in (b'{"level":2,"mechanisms":["everything"]}', b'{"result":{}}'):
        os.write(pipe, len(payload).to_bytes(8, "big") + payload)
    os._exit(0)


def segfault(check_input: Json, files: Files) -> Json:
    ctypes.string_at(0)
    return {}


def aborts(check_input: Json, files: Files) -> Json:
    os.abort()


def other_architecture(check_input: Json, files: Files) -> Json:
    """An x32 call: same machine, other numbers."""
    LIBC.syscall(ctypes.c_long(0x40000000 + 39))
    return {}


def int80(check_input: Json, files: Files) -> Json:
    """getpid by the 32-bit gate, as machine code."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return {"pid": ctypes.CFUNCTYPE(ctypes.c_int)(address)()}


def not_json(check_input: Json, files: Files) -> Json:
    return {"x": float("nan")}


def raises(check_input: Json, files: Files) -> Json:
    raise ValueError("Maria Silva, 1984-02-03")


def raises_check_error(check_input: Json, files: Files) -> Json:
    from audits.checks.contract import CheckError

    raise CheckError("missing_column", column="age")


def exits(check_input: Json, files: Files) -> Json:
    sys.exit(0)


def late_import(check_input: Json, files: Files) -> Json:
    import this  # noqa: F401  (a module nobody preloaded)

    return {}


def seccomp_mode(check_input: Json, files: Files) -> Json:
    return {"seccomp": LIBC.prctl(21, 0, 0, 0, 0), "no_new_privs": LIBC.prctl(39, 0, 0, 0, 0)}


def study(check_input: Json, files: Files) -> Json:
    """What real checks do, with what zygotes preload: read tables, load models, predict, explain."""
    import io

    import joblib
    import numpy
    import pandas
    import pyarrow.parquet
    import shap
    import skops.io

    frame = pandas.read_csv(files["training"], sep=";", decimal=",", encoding="latin-1")
    table = pyarrow.parquet.read_table(io.BytesIO(files["evaluation"].read()))
    rows = table.to_pandas()
    artifact = files["artifact"].read()
    untrusted = skops.io.get_untrusted_types(data=artifact)
    pipeline = skops.io.loads(artifact, trusted=untrusted)
    model = joblib.load(files["joblib"])
    features = [name for name in rows.columns if name != "target"]
    scores = pipeline.predict_proba(rows[features])[:, 1]
    encoded = pipeline[:-1].transform(rows[features])
    forest = pipeline[-1]
    values = shap.TreeExplainer(forest).shap_values(encoded, check_additivity=False)[..., 1]
    base = float(shap.TreeExplainer(forest).expected_value[1])
    return {
        "rows": len(frame),
        "city": frame["city"].iloc[0],
        "untrusted": untrusted,
        "scores": [float(v) for v in scores],
        "boosted": [float(v) for v in model.predict_proba(rows[["a", "b"]])[:, 1]],
        "additivity_gap": float(numpy.abs(values.sum(axis=1) + base - scores).max()),
        "groups": {str(k): float(v) for k, v in rows.groupby("sex")["target"].mean().items()},
    }
