"""When an injected fault applies. Shared by all servers that can inject faults."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class FaultTrigger:
    """Skips some matches, triggers at the next ones, then lets the rest pass.

    Attributes:
        skip: Matches to skip first.
        times: Matches to trigger at.
        triggered: Matches triggered at so far.
    """

    skip: int = 0
    times: int = 1
    triggered: int = field(default=0, init=False)

    def fires(self, matches: bool) -> bool:
        """Return whether the fault triggers. Call it for every request or statement."""
        if not matches:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.triggered >= self.times:
            return False
        self.triggered += 1
        return True
