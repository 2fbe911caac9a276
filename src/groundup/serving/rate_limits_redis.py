"""Rate limits that several gateways share, in Redis."""

from collections.abc import Callable, Mapping

from groundup.serving.rate_limits import Admission, Limit, check_amounts
from groundup.serving.redis_connection import RedisConnection, RedisDown

__all__ = ["RedisRateLimits"]

# One hash for each client, with the two numbers of `TokenBucket` for each limit: the time at which
# the bucket was full, in whole microseconds, and what was taken since. Redis runs a script without
# any other command between. Numbers go out as text, since a Lua number would be cut to an integer.
#
# KEYS[1]  the client's hash
# ARGV     the time in microseconds, or "" for Redis's own; "reserve", "refund" or "charge";
#          then for each limit: name, rate, burst, amount ("" where it is not asked of)
# returns  the wait in seconds, then what is left of each limit
SCRIPT = """
local function text(number) return string.format("%.17g", number) end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call("TIME")
  now = time[1] * 1000000 + time[2]
end
local refund, reserve = ARGV[2] == "refund", ARGV[2] == "reserve"
local buckets, wait = {}, 0
for i = 3, #ARGV, 4 do
  local bucket = {name = ARGV[i], rate = tonumber(ARGV[i + 1]), burst = tonumber(ARGV[i + 2])}
  bucket.amount = tonumber(ARGV[i + 3]) or 0
  bucket.asked = reserve and ARGV[i + 3] ~= ""
  bucket.full_at = tonumber(redis.call("HGET", KEYS[1], bucket.name .. ":full_at") or now)
  bucket.taken = tonumber(redis.call("HGET", KEYS[1], bucket.name .. ":taken") or 0)
  local gained = math.max(0, now - bucket.full_at) / 1000000 * bucket.rate
  bucket.level = math.min(bucket.burst, bucket.burst + (gained - bucket.taken))
  if bucket.asked and bucket.level < bucket.amount then
    local late = math.max(0, bucket.full_at - now) / 1000000
    wait = math.max(wait, late + (bucket.amount - bucket.level) / bucket.rate + 0.000001)
  end
  buckets[#buckets + 1] = bucket
end
local reply, full_in = {text(wait)}, 0
for _, bucket in ipairs(buckets) do
  if wait == 0 and bucket.amount > 0 then
    if bucket.level >= bucket.burst and not refund then
      bucket.full_at, bucket.taken = math.max(now, bucket.full_at), 0
    end
    local change = refund and -bucket.amount or bucket.amount
    bucket.taken = bucket.taken + change
    bucket.level = math.min(bucket.burst, bucket.level - change)
    redis.call("HSET", KEYS[1], bucket.name .. ":full_at", text(bucket.full_at),
               bucket.name .. ":taken", text(bucket.taken))
  end
  full_in = math.max(full_in, (bucket.burst - bucket.level) / bucket.rate)
  reply[#reply + 1] = text(math.max(0, bucket.level))
end
-- A client whose buckets are full needs no memory. A day at most, or the number is too large.
redis.call("PEXPIRE", KEYS[1], math.ceil(math.min(full_in, 86400) * 1000) + 1000)
return reply
"""


class RedisRateLimits:
    """As `groundup.serving.rate_limits.RateLimits`, with the buckets in Redis.

    The time is Redis's own, so gateways whose clocks differ agree. A bucket that would need more
    than a day to fill is full after a day without requests. Redis must be of version 5 or newer.

    **While Redis is down the limits fail open**: requests are admitted, because an outage of the
    limits should not be one of the service, and the engine's own queue is bounded. With
    ``fail_open=False`` requests are refused with a wait of a second, for services in which an
    unpaid token is worse than no answer. `RedisConnection` logs the outage; no request hangs.
    """

    def __init__(
        self,
        limits: Mapping[str, Limit],
        connection: RedisConnection,
        *,
        prefix: str = "groundup:limits:",
        fail_open: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Make limits that hold for each client alike.

        Args:
            limits: as of `RateLimits`.
            connection: to Redis.
            prefix: of the keys in Redis.
            fail_open: whether requests are admitted while Redis is down.
            clock: gives seconds, in place of Redis's own time.

        Raises:
            ValueError: there are no limits, or a rate or a burst is not positive and finite.
        """
        if not limits:
            raise ValueError("at least one limit is needed")
        for name, limit in limits.items():
            if not (0 < limit.rate < float("inf") and 0 < limit.burst < float("inf")):
                raise ValueError(f"rate and burst of {name} must be positive, finite: got {limit}")
        self._limits = dict(limits)
        self._connection = connection
        self._prefix = prefix
        self._fail_open = fail_open
        self._clock = clock
        self._script = connection.client.register_script(SCRIPT)

    async def reserve(self, client: str, amounts: Mapping[str, float]) -> Admission:
        """As `RateLimits.reserve`; where Redis is down, ``left`` is empty."""
        check_amounts(self._limits, amounts)
        try:
            wait, *left = await self._run("reserve", client, amounts)
        except RedisDown:
            return Admission(0.0 if self._fail_open else 1.0, {})
        return Admission(wait, dict(zip(self._limits, left, strict=True)))

    async def refund(self, client: str, amounts: Mapping[str, float]) -> None:
        """As `RateLimits.refund`; where Redis is down, it is lost."""
        check_amounts(self._limits, amounts, settled=True)
        try:
            await self._run("refund", client, amounts)
        except RedisDown:
            return

    async def charge(self, client: str, amounts: Mapping[str, float]) -> None:
        """As `RateLimits.charge`; where Redis is down, it is lost."""
        check_amounts(self._limits, amounts, settled=True)
        try:
            await self._run("charge", client, amounts)
        except RedisDown:
            return

    async def _run(self, mode: str, client: str, amounts: Mapping[str, float]) -> list[float]:
        now = "" if self._clock is None else round(self._clock() * 1e6)
        args: list[str | float] = [now, mode]
        for name, limit in self._limits.items():
            args += [name, repr(float(limit.rate)), repr(float(limit.burst))]
            args.append(repr(float(amounts[name])) if name in amounts else "")
        keys = [self._prefix + client]
        reply = await self._connection.run(lambda _: self._script(keys=keys, args=args))
        return [float(number) for number in reply]
