"""Loading by name: what is found where, and what is said about a source that is no model."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from groundup.engine.conversation import Conversation
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.fetch import DEFAULT_MODEL, PACKAGED_MODELS, fetch
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.gpt2_hugging_face import gpt2_to_hugging_face
from groundup.models.load import load_language_model, load_model
from groundup.models.locate import locate
from tokenizers import Tokenizer

CONFIG = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "rms_norm_eps": 1e-5,
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every index and the hub are a closed port of this machine; nothing was fetched before."""
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path / "empty"))
    for name in ("PIP_INDEX_URL", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


def write_gguf(path: Path, architecture: str, **metadata: str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        writer.add_string(key, value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def complaint(source: str | Path) -> str:
    with pytest.raises(GroundupError) as raised:
        load_model(str(source))
    return str(raised.value)


def test_a_path_outweighs_every_other_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (DEFAULT_MODEL, "org/model", "model.gguf"):
        Path(name).mkdir(parents=True)
        assert locate(name) == Path(name)


def test_a_packaged_name_is_the_fetched_file() -> None:
    assert locate(DEFAULT_MODEL) == fetch(DEFAULT_MODEL)


def test_two_names_are_a_hub_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def hub(name: str) -> Path:
        asked.append(name)
        return tmp_path

    monkeypatch.setattr("groundup.models.locate.fetch_from_hub", hub)
    assert locate("org/model") == tmp_path
    assert asked == ["org/model"]


@pytest.mark.parametrize(
    "source", ["/no/model", "./org/model", "~nobody-here/m", "a/b.gguf", "m.gguf"]
)
def test_a_path_that_is_not_there_is_not_asked_for_elsewhere(source: str, no_network: None) -> None:
    assert complaint(source).startswith(
        f"there is no {Path(source)}: name a GGUF file, or a folder"
    )


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert "did you mean 'smollm2-135m-instruct'?" in complaint("smollm-135m")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    whole = fetch(DEFAULT_MODEL).read_bytes()
    file = tmp_path / "model.gguf"
    for size in (0, 3, 1000, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert str(file) in complaint(file)
        assert "get the file again" in complaint(file)


def test_an_unknown_architecture_is_named_with_the_known(tmp_path: Path) -> None:
    said = complaint(write_gguf(tmp_path / "m.gguf", "mamba"))
    assert "architecture 'mamba': expected one of llama, qwen2" in said


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "is not a model's folder: it has no config.json"),
        ({"config.json": "{"}, "config.json is not valid JSON"),
        ({"config.json": json.dumps({**CONFIG, "model_type": "mamba"})}, "of type 'mamba'"),
        ({"config.json": json.dumps(CONFIG)}, "lacks the weights model.safetensors"),
        (
            {"config.json": json.dumps(CONFIG), "model.safetensors": "?"},
            "model.safetensors is truncated or not safetensors",
        ),
    ],
    ids=["empty", "broken", "unknown", "no weights", "no safetensors"],
)
def test_a_folder_that_is_no_model_says_what_it_lacks(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert expected in complaint(tmp_path)


def test_a_folder_that_lacks_a_tensor_names_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file({"model.norm.weight": torch.ones(8)}, tmp_path / "model.safetensors")
    said = complaint(tmp_path)
    assert "does not hold a whole model" in said
    assert "embed_tokens.weight" in said


@pytest.mark.parametrize("source", [DEFAULT_MODEL, "org/model"])
def test_without_a_network_the_advice_names_what_works_without(
    source: str, no_network: None, tmp_path: Path
) -> None:
    said = complaint(source)
    assert "could not be reached" in said
    assert "connect to the network" in said
    left = [path for path in (tmp_path / "empty").rglob("*") if path.is_file()]
    assert [path.name for path in left if path.suffix not in (".lock", ".TAG")] == []


def test_a_packaged_model_that_was_damaged_is_not_loaded(
    no_network: None, caplog: pytest.LogCaptureFixture
) -> None:
    model = PACKAGED_MODELS[DEFAULT_MODEL]
    model.path.parent.mkdir(parents=True)
    write_gguf(model.path, "llama")
    said = complaint(DEFAULT_MODEL)
    assert "could not be reached" in said
    assert "is damaged: fetching it again" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrices_have_the_dtype_asked_for_and_norms_stay_wide(dtype: torch.dtype) -> None:
    loaded = load_model(DEFAULT_MODEL, dtype)
    assert loaded.model.embed_tokens.weight.dtype == dtype
    assert loaded.model.norm.weight.dtype in (torch.float32, dtype)
    assert loaded.model.config.context == 8192
    assert loaded.tokenizer.size == loaded.model.config.vocabulary == 49152
    assert not loaded.model.training


def test_loading_does_not_import_the_compiler() -> None:
    """torch._dynamo takes longer to import than all the rest of torch."""
    program = (
        "import sys; from groundup.models.load import load_model\n"
        f"load_model({DEFAULT_MODEL!r}); print('torch._dynamo' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    assert found.stdout == "False\n"


def test_a_gpt2_is_talked_to_and_not_taken_for_a_llama(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gpt2_to_hugging_face(GPT2(GPT2Config(256, 64, 16, 1, 2)), tmp_path)
    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        ByteLevel(add_prefix_space=False),
        ByteLevelDecoder(),
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}{{m.content}}{% endfor %}"
    )
    model, read = load_language_model(str(tmp_path))
    assert isinstance(model, GPT2)
    said = list(Conversation(model, read).reply("hello", SamplingParams(), 5))
    assert said
    assert "is a GPT2, where one of Llama's family is expected" in complaint(tmp_path)
