"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the bucket holds any number": (
        "return min(self._burst, self._burst + (gained - self._taken))",
        "return self._burst + (gained - self._taken)",
    ),
    "a rest is saved up": (
        "        if level >= self._burst:\n"
        "            self._full_at, self._taken = max(now, self._full_at), 0.0\n"
        "        self._taken += n",
        "        self._taken += n",
    ),
    "the bucket is empty at first": ("self._taken = 0.0\n\n", "self._taken = burst\n\n"),
    "a refused take costs its tokens": (
        "        if level < n:\n            return False",
        "        if level < n:\n            self._taken += n\n            return False",
    ),
    "whole tokens only are gained": (
        "gained = max(0.0, now - self._full_at) * self._rate",
        "gained = max(0.0, now - self._full_at) * self._rate // 1",
    ),
    "a take that asks starts the refill again": (
        "        if level < n:\n            return False",
        "        if level < n:\n            self._full_at = now\n            return False",
    ),
    "the bucket is refilled in whole seconds": (
        "now - self._full_at)",
        "now // 1 - self._full_at)",
    ),
    "more than the level is given": ("if level < n:", "if level <= 0:"),
    "the last token is kept": ("if level < n:", "if level <= n:"),
    "the rate is left out of the wait": ("missing / self._rate", "missing"),
    "the wait is rounded down": ("wait += step", "break"),
    "the wait is whole seconds": ("+ missing / self._rate", "+ math.ceil(missing / self._rate)"),
    "wait takes the tokens": (
        "        if missing <= 0:\n            return 0.0",
        "        if missing <= 0:\n            self._taken += n\n            return 0.0",
    ),
    "the wait from empty": ("missing = n - self._level(now)", "missing = n"),
    "a clock that goes back takes tokens away": (
        "max(0.0, now - self._full_at)",
        "(now - self._full_at)",
    ),
    "a clock that goes back gives tokens": (
        "max(0.0, now - self._full_at)",
        "abs(now - self._full_at)",
    ),
    "a full bucket follows the clock back": (
        "            self._full_at, self._taken = max(now, self._full_at), 0.0\n"
        "        self._taken += n",
        "            self._full_at, self._taken = now, 0.0\n        self._taken += n",
    ),
    "a refund takes": ("self._taken -= n", "self._taken += n"),
    "a refund fills the bucket": ("self._taken -= n", "self._taken = 0.0"),
    "a refund of more than was taken is lost": (
        "self._taken -= n",
        "self._taken = max(0.0, self._taken - n) if n < self._taken else self._taken",
    ),
    "a negative refund is taken": (
        'if not n >= 0:\n            raise ValueError(f"a refund',
        'if n != n:\n            raise ValueError(f"a refund',
    ),
    "a charge takes only what is there": (
        "self._remove(n, now, self._level(now))",
        "self._remove(min(n, self._level(now)), now, self._level(now))",
    ),
    "a charge of more than is there is refused": (
        "self._remove(n, now, self._level(now))",
        "self._level(now) >= n and self._remove(n, now, self._level(now))",
    ),
    "a charge comes after a long rest": (
        "self._remove(n, now, self._level(now))",
        "self._remove(n, now, 0.0)",
    ),
    "a negative charge is taken": (
        'if not n >= 0:\n            raise ValueError(f"a charge',
        'if n != n:\n            raise ValueError(f"a charge',
    ),
    "more than the burst waits for ever": ("if n > self._burst:", "if False:"),
    "nothing is asked of rate and burst": ("if not 0 < value < math.inf:", "if value == 0:"),
    "NaN is taken": (
        'if not n >= 0:\n            raise ValueError(f"tokens',
        'if n < 0:\n            raise ValueError(f"tokens',
    ),
    "take_all takes until one is missing": (
        "    if wait == 0:\n        for bucket, n in takes:\n"
        "            bucket.take(n)\n    return wait",
        "    for bucket, n in takes:\n        if not bucket.take(n):\n"
        "            return wait\n    return 0.0",
    ),
    "take_all tells the shortest wait": ("wait = max((", "wait = min(("),
    "take_all takes nothing": ("            bucket.take(n)\n", "            pass\n"),
}
