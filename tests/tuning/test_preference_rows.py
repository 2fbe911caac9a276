"""Preferences from files become rows, and DPO, IPO and a reward model learn from them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from groundup.app.store.messages import Role
from groundup.app.store.store import Store
from groundup.errors import GroundupError
from groundup.models.llama import Llama, LlamaConfig
from groundup.tokenizers.chat_template import ChatTemplate
from groundup.tokenizers.from_hugging_face import tokenizer_from_json
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.run_log import read_log
from groundup.training.trainer import LossSum, Plan, train
from groundup.tuning.data_file import read_data_file
from groundup.tuning.preference_rows import (
    Pair,
    PreferenceRows,
    dpo_loss_sum,
    dpo_margins,
    encode_pairs,
    reference_log_probs,
    reward_loss_sum,
    reward_margins,
    share_of_wins,
)
from groundup.tuning.reward_model import RewardModel

TEMPLATE = (
    "{% for message in messages %}{{ message['role'][0] + ':' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|endoftext|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


@pytest.fixture(scope="session", name="tokenizer")
def tokenizer_fixture() -> Tokenizer:
    letters = "".join(map(chr, range(32, 127))) + "\n"
    return tokenizer_from_json(
        character_tokenizer([letters]), eos="<|endoftext|>",
        chat_template=ChatTemplate(TEMPLATE),
    )  # fmt: skip


def small_model(vocabulary: int) -> Llama:
    torch.manual_seed(0)
    model = Llama(
        LlamaConfig(
            vocabulary, dim=32, hidden_dim=48, layers=2, heads=2, kv_heads=1, head_dim=16,
            context=128,
        )
    )  # fmt: skip
    model.draw_weights(0.1)
    return model


def polite_pairs(count: int, seed: int) -> list[Pair]:
    """Answers that begin with 3 are preferred to those that begin with 4."""
    generator = np.random.default_rng(seed)

    def ids(length: int) -> list[int]:
        return [int(token) for token in generator.integers(5, 20, length)]

    pairs = []
    for _ in range(count):
        prompt = ids(int(generator.integers(1, 6)))
        chosen, rejected = (ids(int(generator.integers(1, 5))) for _ in range(2))
        pairs.append(Pair((prompt, [3, *chosen, 2]), (prompt, [4, *rejected, 2])))
    return pairs


def test_the_app_s_export_is_read(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """What the app gives as preferences is what tuning reads: the same turns."""
    store = Store(f"sqlite:///{tmp_path / 'app' / 'groundup.db'}")
    user = store.accounts.add("ada", "hash", "member").id
    conversation = store.conversations.create(user, system="Be brief.").id

    def say(parent: str | None, role: Role, content: str) -> str:
        return store.messages.add(user, conversation, parent=parent, role=role, content=content).id

    question = say(None, "user", "Hi")
    for content, rating in (("Hello!", 1), ("Go away.", -1)):
        store.ratings.rate(user, say(question, "assistant", content), rating)
    (tmp_path / "preferences.jsonl").write_text("\n".join(store.ratings.preference_pairs(user)))
    store.close()
    file = read_data_file(tmp_path / "preferences.jsonl")
    assert file.form == "preference"
    (pair,), left_out = encode_pairs(file.examples, tokenizer, 128)
    assert left_out == []
    prompt = tokenizer.encode("s:Be brief.\nu:Hi\na:")
    end = sorted(tokenizer.eos_ids)
    assert pair.chosen == (prompt, [*tokenizer.encode("Hello!"), *end])
    assert pair.rejected == (prompt, [*tokenizer.encode("Go away."), *end])


def test_pairs_that_do_not_fit_are_left_out_and_others_refused(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    def examples(*rows: dict[str, Any]) -> Any:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_data_file(path).examples

    short = {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
    pairs, left_out = encode_pairs(examples(short, {**short, "rejected": "no" * 99}), tokenizer, 64)
    assert (len(pairs), left_out) == (1, [2])
    with pytest.raises(GroundupError, match="row 1 has no rejected answer"):
        encode_pairs(examples({"prompt": "a", "completion": "b"}), tokenizer, 64)
    unanswered = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    with pytest.raises(GroundupError, match="row 1: a preference ends with an answer"):
        encode_pairs(examples({**short, "chosen": unanswered}), tokenizer, 64)
    with pytest.raises(GroundupError, match="no pair to learn from"):
        PreferenceRows([], 0)


def whole_answer(model: Llama, prompt: list[int], answer: list[int]) -> float:
    """The sum of an answer's log-probabilities, by the whole softmax of one row."""
    logits = model(torch.tensor([prompt + answer]))[0].double()
    scores = torch.log_softmax(logits, -1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return sum(scores[place, token].item() for place, token in zip(places, answer, strict=True))


def test_the_reference_is_computed_once_for_every_pair() -> None:
    model = small_model(20)
    pairs = polite_pairs(9, 0)
    rows = PreferenceRows(pairs[:6], 0), PreferenceRows(pairs[6:], 0, first=6)
    seen: list[tuple[int, int]] = []
    reference = reference_log_probs(
        model, rows, micro_batch=4, progress=lambda *so_far: seen.append(so_far)
    )
    with torch.no_grad():
        expected = [
            [whole_answer(model, *answer) for answer in (pair.chosen, pair.rejected)]
            for pair in pairs
        ]
    torch.testing.assert_close(reference, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    assert seen[-1] == (9, 9)
    for part in rows:  # and the numbers of the rows are the places in it
        inputs, numbers = part.take(np.arange(len(part)))
        own = reference_log_probs(model, [_shown(part, inputs)], micro_batch=9)
        torch.testing.assert_close(reference[numbers], own, rtol=1e-5, atol=1e-5)


def _shown(rows: PreferenceRows, inputs: Tensor) -> PreferenceRows:
    """Rows that hold these inputs in this order."""
    shown = PreferenceRows.__new__(PreferenceRows)
    shown.inputs, shown.first, shown.seed = inputs, 0, rows.seed
    return shown


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_the_loss_of_a_batch_is_that_of_its_pairs(kind: Any) -> None:
    pairs = polite_pairs(5, 1)
    rows = PreferenceRows(pairs, 0)
    reference = reference_log_probs(small_model(20), [rows], micro_batch=5)
    policy = small_model(20)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    loss = dpo_loss_sum(reference, kind=kind, beta=0.3)
    inputs, numbers = rows.take(np.arange(5))
    with torch.no_grad():
        got = loss(policy, inputs, numbers, False).item()
        expected = 0.0
        for pair, before in zip(pairs, reference.tolist(), strict=True):
            lengths = [len(answer) for _, answer in (pair.chosen, pair.rejected)]
            now = [whole_answer(policy, *answer) for answer in (pair.chosen, pair.rejected)]
            ratios = [a - b for a, b in zip(now, before, strict=True)]
            if kind == "ipo":
                expected += (ratios[0] / lengths[0] - ratios[1] / lengths[1] - 1 / 0.6) ** 2
            else:
                expected += np.logaddexp(0, -0.3 * (ratios[0] - ratios[1]))
    assert got == pytest.approx(expected, rel=1e-4)
    assert abs(expected - 5 * np.log(2)) > 0.01


def test_a_reward_model_scores_whole_conversations() -> None:
    pairs = polite_pairs(5, 1)
    model = RewardModel(small_model(20))
    torch.nn.init.normal_(model.score.weight)
    [(inputs, numbers)] = PreferenceRows(pairs, 0).in_order(5)
    with torch.no_grad():
        margins = reward_margins(model)(inputs, numbers)
        for pair, margin in zip(pairs, margins.tolist(), strict=True):
            texts = [prompt + answer for prompt, answer in (pair.chosen, pair.rejected)]
            chosen, rejected = (
                model(torch.tensor([ids]), torch.tensor([len(ids)])).item() for ids in texts
            )
            assert margin == pytest.approx(chosen - rejected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("method", ["sigmoid", "ipo", "reward"])
def test_preferences_that_were_not_seen_are_kept(method: Any, tmp_path: Path) -> None:
    """Of held-out pairs nearly all are won after 30 steps, about half before."""
    learned, held_out = polite_pairs(64, 2), polite_pairs(40, 3)
    rows = PreferenceRows(learned, 0), PreferenceRows(held_out, 0, first=64)
    model: nn.Module
    loss: LossSum
    if method == "reward":
        model = RewardModel(small_model(20))
        loss, margins = reward_loss_sum, reward_margins(model)
    else:
        model = small_model(20)
        reference = reference_log_probs(model, rows, micro_batch=16)
        loss = dpo_loss_sum(reference, kind=method)
        margins = dpo_margins(model, reference)
    measure = partial(share_of_wins, margins, rows[1], micro_batch=16)
    assert measure().mean() == 0.5  # all are draws: the policy is the reference, the head is 0
    plan = Plan(
        steps=30, batch=16, micro_batch=8, learning_rate=3e-3, warmup=0, weight_decay=0,
        evaluate_every=30,
    )  # fmt: skip
    train(model, rows[0], plan, tmp_path, validation=rows[1], loss=loss)
    model.eval()
    assert measure().mean() > 0.9
    first, *_, last = read_log(tmp_path)
    assert first["loss"] == pytest.approx(25 if method == "ipo" else np.log(2), rel=1e-4)
    assert last["validation_loss"] < 0.9 * first["loss"]


def test_ipo_has_no_label_smoothing() -> None:
    with pytest.raises(ValueError, match="IPO has none"):
        dpo_loss_sum(torch.zeros(1, 2), kind="ipo", label_smoothing=0.1)
