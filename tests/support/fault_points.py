"""Which of the things that a fault matches are struck: the rule of all servers that can fail."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Strikes:
    """So many pass first, so many are struck, the rest pass.

    Attributes:
        skip: How many pass first.
        times: How many are struck.
        struck: How many were.
    """

    skip: int = 0
    times: int = 1
    struck: int = field(default=0, init=False)

    def takes(self, matches: bool) -> bool:
        """Whether what comes next is struck; to be asked of everything that comes."""
        if not matches:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.struck >= self.times:
            return False
        self.struck += 1
        return True
