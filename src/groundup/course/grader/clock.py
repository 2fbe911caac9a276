"""A clock for checks of what depends on time: nothing sleeps, and nothing is slow or fast."""

__all__ = ["Clock"]


class Clock:
    """Time that moves when a check says so."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
