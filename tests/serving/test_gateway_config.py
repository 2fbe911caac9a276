"""The gateway's configuration: what a good file means, and what is said of a bad one."""

from pathlib import Path

import msgspec
import pytest

from groundup.errors import GroundupError
from groundup.serving.gateway_config import (
    BreakerConfig,
    GatewayConfig,
    HealthConfig,
    QueueConfig,
    RoutingConfig,
    config_of_urls,
    name_of,
    read_gateway_config,
)
from groundup.serving.intake_config import CacheConfig

GOOD = """
keys = "keys.toml"
redis = "redis://127.0.0.1:6379/0"

[[upstream]]
url = "http://127.0.0.1:8001/v1"
name = "one"
models = ["small", "large"]
weight = 2

[[upstream]]
url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"
models = { large = "gpt-large" }

[aliases]
default = "small"

[fallbacks]
small = ["large"]

[routing]
policy = "prefix_affinity"
try_deadline = 30

[cache]
similarity = 0.95
embedding_model = "minilm"
"""
ONE = '[[upstream]]\nurl = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'


def test_a_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD)
    config = read_gateway_config(path)
    assert [name_of(each) for each in config.upstream] == ["one", "api.openai.com"]
    assert config.upstream[0].models == ["small", "large"]
    assert config.upstream[1].models == {"large": "gpt-large"}
    assert config.upstream[0].weight == 2
    assert config.aliases == {"default": "small"}
    assert config.routing == RoutingConfig(policy="prefix_affinity", try_deadline=30)
    assert config.cache == CacheConfig(similarity=0.95, embedding_model="minilm")
    assert (config.health, config.breaker, config.queue) == (
        HealthConfig(), BreakerConfig(), QueueConfig(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the key 'upstream' is missing"),
        ("upstream = 3", "upstream: expected array, got 3"),
        ("upstream = []", "upstream: expected array of length >= 1, got []"),
        ("[[upstream]]", "the key 'url' is missing in upstream[0]"),
        ('[[upstream]]\nurl = "127.0.0.1:8001"', "upstream[0].url: expected str matching regex"),
        (f"{ONE}weight = 0", "upstream[0].weight: expected float > 0.0, got 0"),
        (f"{ONE}timeout = 3", "there is no key 'timeout' in upstream[0]"),
        (f"{ONE}{ONE}", "upstream[1] and upstream[0] are both called '127.0.0.1:1'"),
        (f'{ONE}api_key_env = "NOT_SET"', "environment variable 'NOT_SET' is not set"),
        (f"{ONE}[routing]\ntries = 0", "routing.tries: expected int >= 1, got 0"),
        (f'{ONE}[routing]\npolicy = "random"', "got 'random'"),
        (f'{ONE}[routing]\npolicy = "random"', "least_outstanding|power_of_two_choices"),
        (f"{ONE}[routing]\ntry_deadline = inf", "routing.try_deadline: expected float <= "),
        (f"{ONE}[routing]\ntry_deadline = nan", "routing.try_deadline: expected float"),
        (f'{ONE}[aliases]\na = "b"', "aliases.a: no upstream serves 'b', expected one of ['m']"),
        (f'{ONE}[aliases]\na = "b"\nb = "m"', "aliases.a: got 'b', which is an alias itself"),
        (f'{ONE}[fallbacks]\nm = ["n"]', "fallbacks.m: no upstream serves 'n'"),
        (f"{ONE}[fallbacks]\nm = 5", "fallbacks[...]: expected array, got int"),
        (f"{ONE}[breaker]\nopen_seconds = 90", "breaker.max_open_seconds: got 60, expected at"),
        (f"{ONE}[cache]\nsimilarity = 0.9", "set cache.embedding_model too"),
        (f"{ONE}[cache]\nmegabytes = 0", "cache.megabytes: expected int >= 1, got 0"),
        ("[[upstream", "is not TOML"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(GroundupError) as caught:
        read_gateway_config(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_urls_alone() -> None:
    config = config_of_urls(["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"], cache=True)
    assert [name_of(each) for each in config.upstream] == ["127.0.0.1:1", "127.0.0.1:2"]
    assert config.cache == CacheConfig()
    assert config_of_urls(["http://a/v1"], cache=False).cache is None
    for urls in (["127.0.0.1:1"], ["ftp://x/v1"], ["http://a/v1", "http://a/v1"]):
        with pytest.raises(GroundupError, match=r"not a URL|both called"):
            config_of_urls(urls, cache=False)


def test_the_readmes_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    path = tmp_path / "gateway.toml"
    path.write_text(readme.partition("```toml\n")[2].partition("```")[0])
    config = read_gateway_config(path)
    assert msgspec.structs.asdict(config)["fallbacks"]
    assert isinstance(config, GatewayConfig)
