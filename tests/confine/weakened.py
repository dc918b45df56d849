"""A script: a worker on a machine where some system calls don't do what they should.

`weakened.py ROOT LEVEL PROBE ARTIFACT CALL=ERRNO…` installs a filter that answers ERRNO (0: pretends
success) to each CALL, then runs the probe confined and prints the outcome. A container's filter or an old
kernel looks just so.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict

sys.path.insert(0, sys.argv[1])

from audits.confine import Zygote, kernel, seccomp
from audits.confine.syscalls import AUDIT_ARCH, number


def weaken(calls: dict[str, int]) -> None:
    program = seccomp.Assembler()
    program.load(seccomp.OFFSET_ARCH)
    program.emit(seccomp.JEQ, AUDIT_ARCH[platform.machine()], 1, 0)
    program.ret(seccomp.RET_ALLOW)
    program.load(seccomp.OFFSET_NR)
    for name, answer in calls.items():
        nr = number(name)
        assert nr is not None
        program.emit(seccomp.JEQ, nr, 0, 1)
        program.ret(seccomp.RET_ERRNO | answer)
    program.ret(seccomp.RET_ALLOW)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.seccomp_install(program.pack())


def main() -> None:
    _, _, level, probe, artifact, *pairs = sys.argv
    calls = {name: int(answer) for name, answer in (pair.split("=") for pair in pairs)}
    if calls:
        weaken(calls)
    with Zygote(preload=()) as zygote:
        outcome = zygote.run(
            {}, {"artifact": artifact}, required_level=int(level), entry=f"tests.confine.probes:{probe}"
        )
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
