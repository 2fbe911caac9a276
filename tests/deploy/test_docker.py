"""The image and the compose file, as far as they can be judged without an engine to run them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose
from dockerfile_parse import DockerfileParser

from groundup.serving.gateway_config import read_gateway_config
from groundup.serving.server import ServerSettings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()


def lint(text: str) -> subprocess.CompletedProcess[str]:
    hadolint = Path(sys.executable).with_name("hadolint")
    return subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, timeout=60)


def test_the_dockerfile_is_free_of_lint() -> None:
    done = lint((ROOT / "Dockerfile").read_text())
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("python:3.11-slim-bookworm AS", "python AS"),
        ("WORKDIR /src", "RUN cd /src"),
        ('ENTRYPOINT ["groundup"]', "ENTRYPOINT groundup"),
    ],
)
def test_a_planted_mistake_is_found(right: str, wrong: str) -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert right in text
    assert lint(text.replace(right, wrong)).returncode != 0


def test_the_image(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text((ROOT / "Dockerfile").read_text())
    image = DockerfileParser(str(tmp_path)).structure
    last = max(i for i, each in enumerate(image) if each["instruction"] == "FROM")
    build, final = image[:last], image[last:]
    (user,) = [each["value"] for each in final if each["instruction"] == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # numbers, as runAsNonRoot wants them
    assert [each["value"] for each in final if each["instruction"] == "EXPOSE"] == ["8000"]
    assert "/ready" in next(e["value"] for e in final if e["instruction"] == "HEALTHCHECK")
    # What the build copies is what .dockerignore lets through, and is there.
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for copy in (each["value"] for each in build if each["instruction"] == "COPY"):
        for source in copy.split()[:-1]:
            assert f"!{source}" in ignored
            assert (ROOT / source).exists()


def checked(text: str) -> PyCompose:
    """By the compose specification. Its model does not know YAML's merges, hence the way round."""
    compose = PyCompose.from_json(json.dumps(yaml.safe_load(text)))
    compose.validate()
    return compose


def test_the_compose_file_is_valid() -> None:
    compose = checked(COMPOSE)
    assert set(compose.service_names()) == {
        "server", "gateway", "redis", "postgres", "prometheus", "grafana",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("healthcheck:", "healtcheck:", "healtcheck"),
        ("restart: unless-stopped", "restart: sometimes", "sometimes"),
        ('"127.0.0.1:8000:8000"', '"127.0.0.1:80000:8000"', "80000"),
        ("secrets: [api_key]", "secrets: [api_kee]", "api_kee"),
    ],
)
def test_a_planted_mistake_in_it_is_found(right: str, wrong: str, said: str) -> None:
    assert right in COMPOSE
    with pytest.raises(ValueError, match=said):
        checked(COMPOSE.replace(right, wrong, 1))


def test_what_the_compose_file_mounts_and_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = yaml.safe_load(COMPOSE)
    services: dict[str, Any] = compose["services"]
    named = set()
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to other machines"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_dir()
            else:
                named.add(source)
    assert named == set(compose["volumes"])
    for name in ("server", "gateway"):
        grace = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace >= ServerSettings().drain_deadline + 5
    monkeypatch.setenv("GROUNDUP_API_KEY", "a-key")
    config = read_gateway_config(ROOT / "deploy" / "gateway" / "gateway.toml")
    assert urlsplit(config.redis or "").hostname in services
    assert [urlsplit(upstream.url).hostname for upstream in config.upstream] == ["server"]
    assert services["postgres"]["profiles"]  # started only when asked for
