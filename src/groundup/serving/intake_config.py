"""From what is configured to the intake's parts: keys and their budgets, Redis, the cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from groundup.errors import GroundupError
from groundup.home import home
from groundup.serving.answer_cache import AnswerCache
from groundup.serving.api_keys import default_key_file
from groundup.serving.budget_ledger import BudgetLedger, Ledger
from groundup.serving.budgets import Budgets
from groundup.serving.callers import Callers
from groundup.serving.response_cache import ResponseCache
from groundup.serving.similar_answers import Embed, SimilarAnswers

if TYPE_CHECKING:
    from groundup.serving.redis_connection import RedisConnection

__all__ = ["CacheConfig", "answer_cache", "callers", "connect_redis", "key_file", "ledger_file"]

Seconds = Annotated[float, Meta(gt=0, le=10**9)]


class CacheConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which answers are kept."""

    megabytes: Annotated[int, Meta(ge=1)] = 256  # in this process's memory
    ttl: Seconds = 3600.0
    shared: bool = False  # one key may get another's answers
    similarity: Annotated[float, Meta(gt=0, le=1)] | None = None  # None: equal requests only
    embedding_model: str | None = None  # of a gateway, for the similarity
    similar_answers: Annotated[int, Meta(ge=1)] = 10_000  # the most that are held


def key_file(named: Path | None) -> Path | None:
    """The file of keys: the one that is named, or the default one if it is there."""
    default = default_key_file()
    return named or (default if default.exists() else None)


def ledger_file() -> Path:
    """Where budgets are kept."""
    return home() / "budgets.sqlite"


def connect_redis(url: str | None) -> "RedisConnection | None":
    """Raises: GroundupError: the URL is not one of Redis, or its client is not installed."""
    if url is None:
        return None
    try:
        from groundup.serving.redis_connection import RedisConnection
    except ModuleNotFoundError as error:
        raise GroundupError(
            f"Redis needs {error.name}, which is not installed: pip install 'groundup[scale]'"
        ) from None
    try:
        return RedisConnection.connect(url)
    except ValueError as error:
        raise GroundupError(f"{url.partition('@')[2] or url} is no URL of Redis: {error}") from None


def callers(
    api_keys: tuple[str, ...], file: Path | None, redis: "RedisConnection | None"
) -> Callers:
    """Who may call. Budgets are kept in Redis where it is configured, and else in SQLite.

    Raises:
        GroundupError: the file of keys, or that of the budgets, cannot be read or is wrong.
    """
    if file is None:
        return Callers(api_keys)
    if redis is None:
        return Callers(api_keys, file=file, budgets=Budgets(BudgetLedger(ledger_file())))
    from groundup.serving.budget_ledger_redis import RedisBudgetLedger
    from groundup.serving.rate_limits_redis import RedisRateLimits

    ledger: Ledger = RedisBudgetLedger(redis)
    return Callers(
        api_keys,
        file=file,
        budgets=Budgets(ledger),
        new_limits=lambda limits: RedisRateLimits(limits, redis),
    )


def answer_cache(
    config: CacheConfig, redis: "RedisConnection | None", embed: Embed | None
) -> AnswerCache:
    """The cache; ``embed`` is needed where similar questions shall count as equal."""
    similar = None
    if config.similarity is not None:
        assert embed is not None
        similar = SimilarAnswers(
            embed,
            threshold=config.similarity,
            max_entries=config.similar_answers,
            ttl=config.ttl,
        )
    kept = None
    if redis is not None:
        from groundup.serving.response_cache_redis import RedisResponseCache

        kept = RedisResponseCache(redis, ttl=config.ttl)
    memory = ResponseCache(max_bytes=config.megabytes * 2**20, ttl=config.ttl)
    return AnswerCache(memory, redis=kept, similar=similar, shared=config.shared)
