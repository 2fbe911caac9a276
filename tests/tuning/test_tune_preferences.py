"""``groundup tune`` by dpo, ipo, reward and grpo: what it leaves, shows and refuses."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from groundup.cli import app
from groundup.errors import GroundupError
from groundup.models.load import load_language_model
from groundup.training.run_log import read_log
from groundup.tuning import memory_estimate
from groundup.tuning.adapter_folder import load_adapter
from groundup.tuning.memory_estimate import MemoryEstimate, estimate_memory
from groundup.tuning.preference_rows import PreferenceRows, encode_pairs, reward_margins
from groundup.tuning.reward_model_folder import load_reward_model


def tune(*arguments: object) -> str:
    result = CliRunner().invoke(
        app, ["tune", *map(str, arguments), "--context", "128", "--precision", "float32"]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return " ".join(result.output.split())


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(name="pairs")
def pairs_fixture(tmp_path: Path) -> Path:
    """Thirty questions, and answers that are friendly or not; one stands there twice."""
    rows = [
        {"prompt": f"Are you {i}?", "chosen": f"Yes, I am {i}.", "rejected": f"Why {i}? No."}
        for i in (*range(30), 7)
    ]
    return write(tmp_path / "pairs.jsonl", rows)


def test_dpo_leaves_an_adapter(pairs: Path, tiny_model: str, tmp_path: Path) -> None:
    method, out = "dpo", tmp_path / "out"
    said = tune(pairs, "--model", tiny_model, "--method", method, "--out", out, "--epochs", 2,
                "--learning-rate", 0.01)  # fmt: skip
    assert "27 pairs to learn from, 3 held out" in said
    assert "left out: 1 (row 31)" in said
    [after] = re.findall(r"right order: 0.500 before, ([\d.]+) after", said)
    assert float(after) > 0.9
    first, *_, last = read_log(out)
    assert first["loss"] == pytest.approx(0.6931, rel=1e-3)
    assert last["validation_loss"] < 0.9 * first["loss"]
    base, _ = load_language_model(tiny_model)
    load_adapter(out, base)
    assert f"groundup chat --model {tiny_model} --adapter {out}" in said
    assert not (out / "checkpoints").exists()
    card = (out / "README.md").read_text()
    assert "| held-out pairs | right order | 3 | 50.0 % |" in card
    assert sha256(pairs.read_bytes()).hexdigest() in card
    again = tune(
        pairs, "--model", tiny_model, "--method", method, "--out", out, "--epochs", 2,
        "--learning-rate", 0.01,
    )  # fmt: skip
    assert "istunedalready" in "".join(again.split())  # however it is wrapped
    with pytest.raises(GroundupError, match=r"another tuning: beta 0.1 \(now 0.3\)"):
        tune(pairs, "--model", tiny_model, "--method", method, "--out", out, "--epochs", 2,
             "--learning-rate", 0.01, "--beta", 0.3)  # fmt: skip


def test_a_reward_model_opens_and_scores(pairs: Path, tiny_model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = tune(pairs, "--model", tiny_model, "--method", "reward", "--out", out, "--epochs", 2,
                "--learning-rate", 0.003)  # fmt: skip
    [after] = re.findall(r"right order: 0.500 before, ([\d.]+) after", said)
    assert float(after) > 0.9
    from groundup.models.load_tokenizer import load_tokenizer
    from groundup.tuning.data_file import read_data_file

    found, _ = encode_pairs(read_data_file(pairs).examples, load_tokenizer(str(out)), 128)
    margins = reward_margins(load_reward_model(out))
    with torch.no_grad():
        [(inputs, numbers)] = PreferenceRows(found[:8], 0).in_order(8)
        assert (margins(inputs, numbers) > 0).all()


def test_grpo_writes_checks_and_learns(tiny_model: str, tmp_path: Path) -> None:
    """Short answers are written by chance, and rewarded: the adapter learns."""
    data = write(tmp_path / "sums.jsonl", [
        {"question": f"What is {i} and {i}?", "answer": f"It is {2 * i}."} for i in range(10)
    ])  # fmt: skip
    out = tmp_path / "out"
    command = (data, "--model", tiny_model, "--method", "grpo", "--out", out, "--epochs", 1,
               "--answer-tokens", 4, "--form", ".{0,16}", "--beta", 0.01, "--batch", 2,
               "--group", 4, "--learning-rate", 0.01)  # fmt: skip
    said = tune(*command)
    assert "9 tasks to learn from, 1 held out" in said
    assert "held-out tasks, reward:" in said
    assert "| held-out tasks | reward | 1 |" in (out / "README.md").read_text()
    log = read_log(out)
    assert len(log) == 5
    assert max(line["mismatch"] for line in log) < 1e-3
    assert log[-1]["divergence"] > log[0]["divergence"] == pytest.approx(0, abs=1e-3)
    assert (out / "rewards.svg").exists()
    base, _ = load_language_model(tiny_model)
    load_adapter(out, base)


@pytest.mark.parametrize("method", ["dpo", "reward", "grpo"])
def test_too_little_memory_is_refused_with_what_would_fit(
    method: str, pairs: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a byte less than what a smaller batch takes, that one is not named."""
    data = pairs
    if method == "grpo":
        data = write(tmp_path / "sums.jsonl", [
            {"question": f"What is {i} and {i}?", "answer": f"{2 * i}."} for i in range(9)
        ])  # fmt: skip
    asked: list[MemoryEstimate] = []

    def note(*arguments: Any, **options: Any) -> MemoryEstimate:
        asked.append(estimate_memory(*arguments, **options))
        return asked[-1]

    monkeypatch.setattr(memory_estimate, "estimate_memory", note)
    monkeypatch.setattr(memory_estimate, "available_memory", lambda device: 0)
    command = (data, "--model", tiny_model, "--method", method, "--out", tmp_path / "out",
               "--answer-tokens", 4)  # fmt: skip
    with pytest.raises(GroundupError, match=r"0\.0 GB are free: close other programs"):
        tune(*command)
    assert not (tmp_path / "out").exists()
    wanted, shorter = asked
    assert wanted.activations > shorter.activations > 0
    assert wanted.gradients > 0
    assert (wanted.scores > 0) == (method != "reward")
    if method == "grpo":  # the engine's copies of the weights are more than any context's
        base, _ = load_language_model(tiny_model)
        assert wanted.besides > 2 * 4 * sum(p.numel() for p in base.parameters())
        return
    monkeypatch.setattr(memory_estimate, "available_memory", lambda device: wanted.more - 1)
    with pytest.raises(GroundupError, match=r"are free: --context \d+ \(.* would fit"):
        tune(*command)


def test_a_dry_run_shows_a_pair(pairs: Path, tiny_model: str, tmp_path: Path) -> None:
    said = tune(pairs, "--model", tiny_model, "--method", "dpo", "--dry-run",
                "--out", tmp_path / "out")  # fmt: skip
    assert re.search(r"assistant chosen: Yes, I am \d+\.<\|im_end\|> rejected: Why", said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "dpo", "--beta", "0"), "--beta is 0.0: expected more than 0"),
        (("--method", "grpo", "--beta", "-1"), "--beta is -1.0"),
        (("--method", "dpo", "--label-smoothing", "0.5"), "expected 0 to below 0.5"),
        (("--method", "ipo", "--label-smoothing", "0.1"), "is for dpo, and --method is ipo"),
        (("--method", "grpo", "--form", "("), "is not a regular expression"),
        (("--method", "grpo"), "has no number to check answers by"),
        (("--method", "orpo"), "expected one of full, lora"),
    ],
)
def test_bad_input_is_refused(
    arguments: tuple[str, ...], message: str, pairs: Path, tiny_model: str, tmp_path: Path
) -> None:
    with pytest.raises(GroundupError, match=re.escape(message)):
        tune(pairs, "--model", tiny_model, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_instructions_are_no_preferences(tiny_model: str, tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [{"prompt": f"{i}", "completion": "b"} for i in range(9)])
    with pytest.raises(GroundupError, match="has no rejected answer"):
        tune(data, "--model", tiny_model, "--method", "dpo", "--out", tmp_path / "out")
