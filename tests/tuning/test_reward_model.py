"""Scores are those of `transformers`, are learned, and come back from a folder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from groundup.errors import GroundupError
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.llama import Llama, LlamaConfig
from groundup.tuning.answer_log_probs import answer_batch, answer_log_probs
from groundup.tuning.reward_model import RewardModel, bradley_terry_loss
from groundup.tuning.reward_model_folder import load_reward_model, save_reward_model

LLAMA = LlamaConfig(
    vocabulary=50, dim=32, hidden_dim=48, layers=2, heads=4, kv_heads=2, head_dim=8, context=64,
    tied_embeddings=True,
)  # fmt: skip
IDS = torch.tensor([[3, 14, 15, 9, 2, 6], [5, 35, 8, 0, 0, 0], [9, 7, 9, 3, 2, 0]])
LENGTHS = torch.tensor([6, 3, 5])


def reward_model(family: str) -> RewardModel:
    torch.manual_seed(0)
    model: Llama | GPT2
    if family == "llama":
        model = Llama(LLAMA)
        model.draw_weights(0.1)
    else:
        model = GPT2(GPT2Config(vocabulary=50, context=64, dim=32, layers=2, heads=4))
    found = RewardModel(model)
    torch.nn.init.normal_(found.score.weight)
    return found


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_scores_equal_transformers(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = reward_model(family)
    save_reward_model(ours, tmp_path)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=1, attn_implementation="eager"
    )
    theirs.score.weight.data = ours.score.weight.data.clone()
    with torch.no_grad():
        for row, length in zip(IDS, LENGTHS.tolist(), strict=True):
            expected = theirs(row[None, :length]).logits[0]
            got = ours(row[None, :length], torch.tensor([length]))
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_fills_a_row_up_changes_no_score(family: str) -> None:
    model = reward_model(family)
    scores = model(IDS, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(IDS[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(scores[row : row + 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_saved_reward_model_is_the_same(family: str, tmp_path: Path) -> None:
    model = reward_model(family)
    save_reward_model(model, tmp_path)
    loaded = load_reward_model(tmp_path)
    assert torch.equal(loaded(IDS, LENGTHS), model(IDS, LENGTHS))


def test_preferences_are_learned() -> None:
    """Answers that end in 7 are preferred: after a few steps, held-out pairs are told apart."""
    body = Llama(LLAMA)
    body.draw_weights(0.1)
    model = RewardModel(body)
    assert not model(IDS, LENGTHS).any()  # before it has learned, all answers are equal
    generator = torch.Generator().manual_seed(1)

    def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.randint(10, 50, (2, count, 5), generator=generator)
        ids[0, :, -1] = 7
        return ids[0], ids[1]

    optimizer = torch.optim.AdamW(model.score.parameters(), lr=0.1)
    lengths = torch.full((32,), 5)
    for _ in range(20):
        chosen, rejected = pairs(32)
        loss = bradley_terry_loss(model(chosen, lengths), model(rejected, lengths))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    chosen, rejected = pairs(32)
    assert (model(chosen, lengths) > model(rejected, lengths)).float().mean() > 0.95


def test_bad_input_is_refused(tmp_path: Path) -> None:
    model = reward_model("llama")
    for lengths in ([6, 3], [6, 3, 0], [7, 3, 5]):
        with pytest.raises(ValueError, match="expected 3 from 1 to 6"):
            model(IDS, torch.tensor(lengths))
    save_reward_model(model, tmp_path)
    head = tmp_path / "score.safetensors"
    save_file({"score.weight": torch.zeros(1, 8)}, head)
    with pytest.raises(GroundupError, match="of another model"):
        load_reward_model(tmp_path)
    head.write_bytes(b"nonsense")
    with pytest.raises(GroundupError, match="is damaged"):
        load_reward_model(tmp_path)
    head.unlink()
    with pytest.raises(GroundupError, match="is no reward model"):
        load_reward_model(tmp_path)


def test_log_probs_of_answers_are_those_of_the_whole_softmax() -> None:
    torch.manual_seed(0)
    model = Llama(LLAMA).double()
    model.draw_weights(0.3)
    answers = [([3, 14, 15], [9, 2]), ([5], [35, 8, 4, 1]), ([9, 7, 9, 3], [2])]
    batch = answer_batch(answers)
    got = answer_log_probs(model, batch)
    assert got.shape == batch.mask.shape == (3, 4)
    for row, (prompt, answer) in enumerate(answers):
        logits = model(torch.tensor([prompt + answer]))[0].detach()
        scores = (logits - logits.logsumexp(-1, keepdim=True)).tolist()
        for i, token in enumerate(answer):
            place = len(prompt) - 1 + i
            assert got[row, place].item() == pytest.approx(scores[place][token], rel=1e-9)
            assert batch.mask[row, place]
    assert not got[~batch.mask].any()
    assert batch.mask.sum() == 7
    empty: list[int] = []
    for wrong in ([], [(empty, [1])], [([1], empty)]):
        with pytest.raises(ValueError, match="one token at least"):
            answer_batch(wrong)
