"""Tests work in a home and a runtime folder of their own; only fetched models are the user's."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from groundup.course.parts.table import PARTS
from groundup.course.progress import checks_sha256, sha256
from groundup.course.workspace import Workspace, init_workspace
from groundup.home import home

# Another solution of the part, not the reference's: one product for each head, a whole mask.
ATTENTION = '''\
"""A learner's attention."""

import torch
from torch import Tensor

__all__ = ["attention"]


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    B, H, T, D = q.shape
    H_kv, S = k.shape[1], k.shape[2]
    if k.shape != v.shape or k.shape[0] != B or k.shape[3] != D or H % H_kv:
        raise ValueError("the shapes do not fit")
    if causal and T > S:
        raise ValueError("more queries than keys")
    heads = []
    for h in range(H):
        g = h // (H // H_kv)
        scores = torch.einsum("btd,bsd->bts", q[:, h], k[:, g]) / D**0.5
        if causal:
            seen = torch.arange(S)[None] <= torch.arange(T)[:, None] + S - T
            scores = scores.where(seen, torch.tensor(-torch.inf, dtype=scores.dtype))
        heads.append(torch.einsum("bts,bsd->btd", scores.softmax(-1), v[:, g]))
    return torch.stack(heads, dim=1)
'''


@pytest.fixture(scope="session", autouse=True)
def private_home() -> Iterator[Path]:
    models = home() / "models"
    models.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        # Short, because sockets lie in it. Warm graders end when it is gone.
        folder = Path(tempfile.mkdtemp(prefix="gu-"))
        (folder / "home").mkdir()
        (folder / "home" / "models").symlink_to(models)
        (folder / "run").mkdir(mode=0o700)
        patch.setenv("GROUNDUP_HOME", str(folder / "home"))
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        patch.delenv("GROUNDUP_WORKSPACE", raising=False)
        yield folder / "home"
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_workspace_is_left(private_home: Path) -> Iterator[None]:
    """The workspace that a test made is not the one that the commands of the next would use."""
    yield
    (private_home / "workspace").unlink(missing_ok=True)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test alone: it does not know the workspaces of others."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "models").symlink_to((home() / "models").resolve())
    monkeypatch.setenv("GROUNDUP_HOME", str(folder))
    return folder


@pytest.fixture
def workspace(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace, and the one that commands use."""
    made = init_workspace(tmp_path / "workspace")
    monkeypatch.setenv("GROUNDUP_WORKSPACE", str(made.root))
    return made


@pytest.fixture(name="attention_source")
def attention_source_fixture() -> str:
    return ATTENTION


@pytest.fixture
def swapped(workspace: Workspace) -> Callable[[str, str], Path]:
    """Makes a source the learner's own part of this id: recorded as passed, and swapped in."""

    def put(part_id: str, source: str) -> Path:
        part = PARTS[part_id]
        file = workspace.file(part)
        file.write_text(source)
        record = {"sha256": sha256(file), "checks_sha256": checks_sha256(part)}
        workspace.log("check", part=part.id, **record, passed=True, failed=[])
        workspace.log("swap", part=part.id)
        return file

    return put


@pytest.fixture
def swapped_attention(swapped: Callable[[str, str], Path]) -> Callable[[str], Path]:
    """Makes a source the learner's attention."""
    return partial(swapped, "attention")


@pytest.fixture(name="environment")
def environment_fixture() -> Callable[[], dict[str, str]]:
    """Of commands in processes of their own, with one thread each: machines may be busy."""
    return lambda: {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "dumb"}


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
    import gguf  # most tests need neither
    import numpy as np

    from groundup.models.fetch import fetch
    from groundup.models.gguf import read_gguf

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
