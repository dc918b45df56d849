from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from governance.embedded.children import LAUNCHER, end, exited, launch, parent_of, reap, wait, wait_until_gone
from governance.embedded.files import try_lock

from .conftest import root_only


def output(**options: object) -> str:
    child = launch(["sh", "-c", "id -u; id -g; id -G"], stdout=subprocess.PIPE, **options)  # type: ignore[arg-type]
    text, _ = child.communicate(timeout=10)
    return text.decode()


@root_only
def test_a_child_can_be_another_user_without_root_s_groups() -> None:
    assert output(user=(65534, 65533)) == "65534\n65533\n65533\n"


@root_only
def test_in_a_namespace_root_is_nobody_special_and_its_files_stay_root_s(home: Path) -> None:
    secret = home / "of-another"
    secret.write_text("x")
    os.chown(secret, 65534, 65534)
    secret.chmod(0o600)
    made = home / "made"
    script = f"id -u; cat {secret} 2>/dev/null || echo refused; touch {made}"
    child = launch(["sh", "-c", script], stdout=subprocess.PIPE, namespace=(1000, 1000))
    assert child.communicate(timeout=10)[0] == b"1000\nrefused\n"
    assert made.stat().st_uid == 0


def test_a_child_dies_with_a_parent_that_was_killed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from governance.embedded.children import launch\n"
        "print(launch(['sleep', '60']).pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(LAUNCHER.parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert parent_of(pid) == parent.pid
    parent.kill()
    parent.communicate()
    assert wait_until_gone(pid, 5)


def test_a_child_whose_parent_was_quicker_to_die_does_not_start() -> None:
    options = json.dumps({"parent": 1 if os.getpid() != 1 else 2, "death_signal": 15})
    done = subprocess.run([sys.executable, "-I", "-S", LAUNCHER, options, "echo", "ran"], capture_output=True)
    assert (done.returncode, done.stdout) == (125, b"")


def test_end_takes_what_the_child_left_behind_and_nobody_else() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    child = launch(["sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    started = time.monotonic()
    assert end(child, [(signal.SIGTERM, 0.2), (signal.SIGINT, 0.2)]) in (-signal.SIGINT, -signal.SIGKILL)
    assert time.monotonic() - started < 3
    assert wait_until_gone(grandchild, 5)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_leader_that_ended_keeps_its_id_until_its_session_is_gone() -> None:
    child = launch(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    left = int(child.stdout.readline())
    assert wait(child, 5)
    assert exited(child)
    assert child.returncode is None  # not reaped: the id cannot have been given to anybody
    assert parent_of(left) is not None
    assert reap(child) == 0
    assert wait_until_gone(left, 5)


def test_the_parent_is_found_whatever_a_process_is_called(home: Path) -> None:
    odd = home / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([odd, "60"])
    try:
        assert parent_of(child.pid) == os.getpid()
    finally:
        child.kill()
    deadline = time.monotonic() + 5
    while parent_of(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert parent_of(child.pid) is None  # a zombie is not a process that lives
    child.wait()


def test_a_killed_session_holds_nothing_any_more_when_it_was_reaped(home: Path) -> None:
    # With threads: the first one counts as dead while the others still hold what the process had open.
    program = (
        "import os, threading, time\n"
        "ballast = bytearray(b'x') * 50_000_000\n"
        "for _ in range(64): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "print('up', flush=True); time.sleep(60)"
    )
    for _ in range(8):
        held = try_lock(home / "lock")
        assert held is not None
        child = launch(
            ["sh", "-c", '"$1" -I -S -c "$2" & wait', "sh", sys.executable, program],
            stdout=subprocess.PIPE,
            pass_fds=[held],
        )
        os.close(held)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert try_lock(home / "lock") is None
        assert reap(child) == -signal.SIGKILL
        free = try_lock(home / "lock")
        assert free is not None
        os.close(free)
        child.stdout.close()
