"""Running somebody else's model file and dataset in a locked-down child process.

    with Zygote() as zygote:
        outcome = zygote.run(check_input, {"artifact": path, "evaluation": path})

The worker keeps one `Zygote`; each `run` forks one child, which locks itself (see `lock`), reports which
level of confinement held, and only then reads a foreign byte. Knows nothing of Django, and of checks only
their contract.
"""

from audits.confine.outcome import CODES, LEVEL_1, LEVEL_2, ConfinedOutcome, Confinement, Limits
from audits.confine.runner import Zygote, ZygoteError

__all__ = [
    "CODES",
    "LEVEL_1",
    "LEVEL_2",
    "ConfinedOutcome",
    "Confinement",
    "Limits",
    "Zygote",
    "ZygoteError",
]
