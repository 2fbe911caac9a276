"""The gateway's configuration file: its keys, their defaults, and what is wrong with a file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from groundup.errors import GroundupError
from groundup.serving.intake_config import CacheConfig, Seconds
from groundup.serving.toml_file import read_toml

__all__ = [
    "BreakerConfig",
    "GatewayConfig",
    "HealthConfig",
    "QueueConfig",
    "RoutingConfig",
    "UpstreamConfig",
    "config_of_urls",
    "name_of",
    "read_gateway_config",
]

Name = Annotated[str, Meta(min_length=1, max_length=200)]
POLICIES = "^(least_outstanding|power_of_two_choices|prefix_affinity)$"


class UpstreamConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One endpoint that speaks OpenAI's interface."""

    url: Annotated[str, Meta(pattern="^https?://[^/?#]+(/[^?#]*)?$")]  # with /v1
    name: Name | None = None  # None: the URL's host and port
    api_key_env: Name | None = None  # the environment variable that holds its key
    # The models that it serves. As a table: what callers say, and what this endpoint calls it.
    # None: it is asked (GET /models).
    models: list[Name] | dict[Name, Name] | None = None
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0  # its share of the prefixes


class RoutingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which replica takes a request, and what happens when it fails."""

    policy: Annotated[str, Meta(pattern=POLICIES)] = "least_outstanding"
    tries: Annotated[int, Meta(ge=1, le=20)] = 3  # for each model
    try_deadline: Seconds = 120.0  # until a whole answer is there, or a stream's first event
    idle_deadline: Seconds = 60.0  # between two events of a stream
    total_deadline: Seconds = 600.0  # for all of it, waiting and retries included
    backoff: Seconds = 0.1  # before a replica that failed is tried again; doubles
    max_backoff: Seconds = 2.0


class HealthConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How replicas are watched: GET /models of each."""

    interval: Seconds = 5.0
    deadline: Seconds = 2.0


class BreakerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """As of `CircuitBreaker`."""

    window: Seconds = 30.0
    min_calls: Annotated[int, Meta(ge=1)] = 5
    failure_rate: Annotated[float, Meta(gt=0, le=1)] = 0.5
    open_seconds: Seconds = 1.0
    max_open_seconds: Seconds = 60.0


class QueueConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is taken at once."""

    places: Annotated[int, Meta(ge=1)] = 512  # requests under way
    waiting: Annotated[int, Meta(ge=0)] = 1024  # that may wait for a place
    deadline: Seconds = 10.0  # that they wait


class GatewayConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    upstream: Annotated[list[UpstreamConfig], Meta(min_length=1)]
    aliases: dict[Name, Name] = {}  # what callers say, and the model that is meant
    fallbacks: dict[Name, list[Name]] = {}  # models to turn to when all replicas of one fail
    routing: RoutingConfig = RoutingConfig()
    health: HealthConfig = HealthConfig()
    breaker: BreakerConfig = BreakerConfig()
    queue: QueueConfig = QueueConfig()
    cache: CacheConfig | None = None  # None: no answers are kept
    keys: str | None = None  # the file of API keys, relative to this one
    redis: str | None = None  # redis://host:port/db, which several gateways share


def read_gateway_config(path: Path) -> GatewayConfig:
    """The configuration of a file.

    Raises:
        GroundupError: as `read_toml`, or what the file says does not fit together.
    """
    config = read_toml(path, GatewayConfig)
    try:
        _check(config)
    except GroundupError as error:
        raise GroundupError(f"{path}: {error}") from None
    return config


def config_of_urls(urls: Sequence[str], *, cache: bool) -> GatewayConfig:
    """The configuration that has these upstreams and the defaults.

    Raises:
        GroundupError: a URL is not one of http or https, or comes twice.
    """
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise GroundupError(
                f"--upstream {url} is not a URL, expected one such as http://127.0.0.1:8001/v1"
            )
    config = GatewayConfig(
        [UpstreamConfig(url) for url in urls], cache=CacheConfig() if cache else None
    )
    _check(config)
    return config


def name_of(upstream: UpstreamConfig) -> str:
    """What the upstream is called in headers, metrics and messages."""
    return upstream.name or urlsplit(upstream.url).netloc.rpartition("@")[2]


def _check(config: GatewayConfig) -> None:
    names: dict[str, int] = {}
    for i, upstream in enumerate(config.upstream):
        if (other := names.setdefault(name_of(upstream), i)) != i:
            raise GroundupError(
                f"upstream[{i}] and upstream[{other}] are both called {name_of(upstream)!r}: "
                "give each a name of its own"
            )
        if upstream.api_key_env is not None and not os.environ.get(upstream.api_key_env):
            raise GroundupError(
                f"upstream[{i}].api_key_env: the environment variable {upstream.api_key_env!r} is "
                "not set, expected the endpoint's key in it"
            )
    for alias, model in config.aliases.items():
        if model in config.aliases:
            raise GroundupError(
                f"aliases.{alias}: got {model!r}, which is an alias itself, expected a model"
            )
    if all(upstream.models is not None for upstream in config.upstream):
        served = {model for upstream in config.upstream for model in upstream.models or ()}
        wanted = [(f"aliases.{alias}", model) for alias, model in config.aliases.items()]
        for model, others in config.fallbacks.items():
            wanted += [(f"fallbacks.{model}", each) for each in (model, *others)]
        for where, model in wanted:
            if model not in served:
                raise GroundupError(
                    f"{where}: no upstream serves {model!r}, expected one of {sorted(served)}"
                )
    breaker = config.breaker
    if breaker.open_seconds > breaker.max_open_seconds:
        raise GroundupError(
            f"breaker.max_open_seconds: got {breaker.max_open_seconds:g}, expected at least "
            f"open_seconds, {breaker.open_seconds:g}"
        )
    cache = config.cache
    if cache is not None and cache.similarity is not None and cache.embedding_model is None:
        raise GroundupError(
            "cache.similarity: set cache.embedding_model too, a model of an upstream's /embeddings"
        )
