"""``groundup deploy ray``: what it refuses, and a life of two replicas on a cluster of its own."""

import importlib.util
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

import httpx
import openai
import psutil
import pytest

from groundup.cli import main
from groundup.serving.server import listen

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "GROUNDUP_API_KEY"),
        (("--replicas", "3", "--max-replicas", "2"), "--max-replicas"),
        (("--address", "127.0.0.1:9"), "ray start --head"),
    ],
)
def test_what_it_refuses(
    options: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And before Ray is imported, which takes seconds."""
    monkeypatch.setenv("GROUNDUP_API_KEY", "")
    with pytest.raises(SystemExit) as caught:
        main(["deploy", "ray", *options])
    assert caught.value.code == 1
    assert said in capsys.readouterr().err
    assert "ray" not in sys.modules


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(listen("127.0.0.1", 0)) as taken, pytest.raises(SystemExit):
        main(["deploy", "ray", "--port", str(taken.getsockname()[1])])
    assert "in use" in capsys.readouterr().err


def figures(url: str, key: dict[str, str]) -> dict[str, dict[str, float]]:
    """Of each replica, by the time of its start, what its /metrics say."""
    found: dict[str, dict[str, float]] = {}
    for _ in range(200):
        lines = httpx.get(f"{url}/metrics", headers=key, timeout=30).text.splitlines()
        samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        started = next(v for k, v in samples.items() if k.startswith("vllm:prompt_tokens_created"))
        plain = {re.sub(r',?model_name="[^"]*",?', "", k): float(v) for k, v in samples.items()}
        found[started] = plain
        if len(found) == 2:
            break
    return found


def test_its_life(tiny_model: str, environment: Callable[[], dict[str, str]]) -> None:
    with closing(listen("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    key = {"authorization": "Bearer a-key"}
    options = ["--model", tiny_model, "--replicas", "2", "--cpus", "0.25", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", "deploy", "ray", *options],
        # Where machines are busy, its proxies need longer than Ray gives them.
        env=environment()
        | {"GROUNDUP_API_KEY": "a-key", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"},
        stderr=subprocess.PIPE,
        text=True,
    )
    too_long = threading.Timer(300, process.kill)
    too_long.start()
    try:
        assert process.stderr is not None
        said = ""
        while f"{url}/v1" not in said:
            line = process.stderr.readline()
            said += line
            assert line, said  # it has ended
        cluster = psutil.Process(process.pid).children(recursive=True)
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert len(figures(url, key)) == 2

        with openai.OpenAI(base_url=f"{url}/v1", api_key="a-key", max_retries=0) as client:

            def stream(tokens: int) -> openai.Stream[openai.types.Completion]:
                return client.completions.create(
                    model=tiny_model,
                    prompt="x",
                    max_tokens=tokens,
                    stream=True,
                    extra_body={"ignore_eos": True},
                )

            def counted(name: str) -> float:
                return sum(each[name] for each in figures(url, key).values())

            with stream(7000) as left:  # a client that leaves
                next(iter(left))
            end = time.monotonic() + 60
            aborted = 'vllm:request_success_total{finished_reason="abort"}'
            while not counted(aborted):
                assert time.monotonic() < end, "the answer went on without its reader"
            assert counted("vllm:num_requests_running{}") == 0

            with stream(1500) as going_on:  # through the end of the cluster
                chunks = iter(going_on)
                next(chunks)
                process.send_signal(signal.SIGTERM)
                assert sum(1 for _ in chunks) > 100
        assert process.wait(120) == 0
        assert not psutil.wait_procs(cluster, timeout=30)[1]
    finally:
        too_long.cancel()
        process.kill()
        process.communicate()
