"""How often one may try to sign in."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from groundup.serving.token_bucket import TokenBucket, take_all

__all__ = ["Attempts"]

# Attempts at once, and seconds until one more.
FOR_NAME_AND_ADDRESS = (5, 30.0)
FOR_ADDRESS = (20, 10.0)
FOR_NAME = (50, 5.0)  # from everywhere: whoever knows a name should not lock its owner out easily
KNOWN = 20_000  # names and addresses remembered; the one tried longest ago is forgotten first


class Attempts:
    """Counts attempts to sign in, by account, by address and by both.

    Right passwords count too, and are given back. Tasks of one event loop need no lock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()

    def take(self, name: str, address: str) -> float:
        """Count an attempt.

        Returns:
            0.0 if it may be made; otherwise the seconds until the next one may.
        """
        return take_all([(bucket, 1) for bucket in self._of(name, address)])

    def give_back(self, name: str, address: str) -> None:
        """The attempt was right: it does not count."""
        for bucket in self._of(name, address):
            bucket.refund(1)

    def _of(self, name: str, address: str) -> list[TokenBucket]:
        name, address = name.strip().lower()[:64], network(address)
        return [
            self._bucket((name, address), *FOR_NAME_AND_ADDRESS),
            self._bucket(("", address), *FOR_ADDRESS),
            self._bucket((name, ""), *FOR_NAME),
        ]

    def _bucket(self, key: tuple[str, str], burst: int, pause: float) -> TokenBucket:
        if key not in self._buckets:
            self._buckets[key] = TokenBucket(1 / pause, burst, clock=self._clock)
        self._buckets.move_to_end(key)
        while len(self._buckets) > KNOWN:
            self._buckets.popitem(last=False)
        return self._buckets[key]


def network(address: str) -> str:
    """An address of IPv4, or the /64 of one of IPv6: one machine has all of it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
