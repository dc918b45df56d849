"""What can go wrong between a checkout and a running service, each told in one sentence."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded default cannot go on.

    ``code`` is stable and meant for machines and tests; ``str(error)`` says to a person what happened, why,
    and what to do next.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
