"""Where the story is played, and what it says when something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from governance.demo.person import Ended, Person


class NotHeldError(Exception):
    """What the story says did not happen."""


@dataclass
class Stage:
    """Where the story is played, and what it has come to so far."""

    base_url: str
    tokens: Mapping[str, str]
    folder: Path
    """For what only the story needs: study, receipts, copies."""
    keep: Path
    """For what it leaves: export, attestations, vkey, jwks.json."""
    say: Callable[[str], None]
    people: dict[str, Person] = field(init=False)
    step: int = 0

    def __post_init__(self) -> None:
        self.people = {name: Person(name, self.base_url, token) for name, token in self.tokens.items()}

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def tell(self, sentence: str) -> None:
        self.step += 1
        self.say(f"{self.step:>3}. {sentence}")


def hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise NotHeldError(otherwise)


def refused(ended: Ended, what: str) -> NoReturn:
    raise NotHeldError(f"{what}: exit {ended.code}, said: {(ended.out + ended.err).strip()[-2000:]}")
