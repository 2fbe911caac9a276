"""Packed rows: each conversation is read and learned as if it were alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.errors import GroundupError
from groundup.models.fused_attention import fused_attention
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.llama import Llama, LlamaConfig
from groundup.training.adamw import AdamW
from groundup.training.gradient_accumulation import IGNORED
from groundup.tuning.loss_mask import MaskedSequence
from groundup.tuning.memory_estimate import estimate_memory, probe_memory
from groundup.tuning.sequence_packing import hidden_of_packed, lengths_of, positions_of
from groundup.tuning.supervised import SupervisedRows, supervised_loss_sum


def llama(window: int | None = None) -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(50, 16, 24, 2, 4, 2, 4, 64, window=window)
    model = Llama(config, fused_attention)
    model.draw_weights(0.3)
    return model.double()


def gpt2() -> GPT2:
    torch.manual_seed(0)
    return GPT2(GPT2Config(50, 12, dim=16, layers=2, heads=2)).double()


def sequences(count: int, longest: int) -> list[MaskedSequence]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        length = int(random.integers(3, longest + 1))
        counts = random.random(length) < 0.4
        counts[-1] = True
        made.append(MaskedSequence(random.integers(0, 50, length).tolist(), counts.tolist()))
    return made


@pytest.mark.parametrize("model", [llama(), llama(window=3), gpt2()])
def test_every_logit_is_that_of_the_conversation_alone(model: Llama | GPT2) -> None:
    given = sequences(9, 12)
    rows = SupervisedRows(given, 30, seed=0)
    assert len(rows) < len(given) / 2  # so they are packed
    inputs, _ = rows.take(np.arange(len(rows)))
    ids, positions = inputs.unbind(1)
    logits = model.logits(hidden_of_packed(model, ids, positions))
    alone = {tuple(s.ids[:-1]): model(torch.tensor([s.ids[:-1]]))[0] for s in given}
    texts = ids[positions >= 0].split(lengths_of(positions[positions >= 0]))
    assert sorted(map(len, texts)) == sorted(len(s.ids) - 1 for s in given)
    for text, found in zip(texts, logits.split([len(t) for t in texts]), strict=True):
        torch.testing.assert_close(found, alone[tuple(text.tolist())], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("model", [llama(), gpt2()])
def test_loss_and_gradients_are_the_sum_over_conversations(model: Llama | GPT2) -> None:
    given = sequences(7, 12)
    rows = SupervisedRows(given, 30, seed=1)
    model.requires_grad_(True)
    model.zero_grad()
    total = supervised_loss_sum(model, *rows.take(np.arange(len(rows))), False)
    total.backward()
    packed = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    expected = torch.zeros((), dtype=torch.float64)
    for sequence in given:
        logits = model(torch.tensor([sequence.ids]))[0, :-1].float()
        losses = F.cross_entropy(logits, torch.tensor(sequence.ids[1:]), reduction="none")
        expected = expected + losses[torch.tensor(sequence.counts[1:])].sum()
    expected.backward()
    torch.testing.assert_close(total.double(), expected, rtol=1e-6, atol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_the_modules_attention_is_put_back() -> None:
    model = llama()
    rows = SupervisedRows(sequences(4, 12), 30, seed=0)
    supervised_loss_sum(model, *rows.take(np.arange(1)), False)
    attention = [m.attend for m in model.modules() if hasattr(m, "attend")]
    assert attention == [fused_attention, fused_attention]


def test_rows_come_in_an_order_of_the_seed_and_epoch() -> None:
    rows = SupervisedRows(sequences(40, 12), 20, seed=0)
    size = len(rows)
    epochs = [rows.take(np.arange(e * size, (e + 1) * size))[0] for e in range(2)]
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert sorted(epoch[:, 0].tolist()) == sorted(rows.inputs[:, 0].tolist())
    again = SupervisedRows(sequences(40, 12), 20, seed=0).take(np.arange(size))[0]
    assert torch.equal(epochs[0], again)
    assert not torch.equal(
        epochs[0], SupervisedRows(sequences(40, 12), 20, seed=1).take(np.arange(size))[0]
    )


def test_targets_are_the_following_tokens_that_count() -> None:
    [one, two] = [MaskedSequence([5, 6, 7, 8], [True, False, True, False]),
                  MaskedSequence([1, 2, 3], [False, True, True])]  # fmt: skip
    rows = SupervisedRows([one, two], 8, seed=0)
    assert rows.inputs[0].tolist() == [[5, 6, 7, 1, 2, 0, 0, 0], [0, 1, 2, 0, 1, -1, -1, -1]]
    no = IGNORED
    assert rows.targets[0].tolist() == [no, 7, no, 2, 3, no, no, no]


def test_positions() -> None:
    assert positions_of([2, 3], 7).tolist() == [0, 1, 0, 1, 2, -1, -1]
    assert lengths_of(torch.tensor([0, 1, 0, 0, 1, 2])) == [2, 1, 3]


def test_rows_that_cannot_be() -> None:
    with pytest.raises(GroundupError, match="no example to learn from"):
        SupervisedRows([], 8, seed=0)
    with pytest.raises(ValueError, match="sequence 0 has no token that counts"):
        SupervisedRows([MaskedSequence([1, 2], [True, False])], 8, seed=0)


def test_a_probe_counts_what_is_held_at_once() -> None:
    """Of each token 8 features, made, multiplied and squared; of each pair of tokens a product."""
    model = torch.nn.Linear(8, 8, bias=False)

    def loss(tokens: int) -> torch.Tensor:
        y: torch.Tensor = model(torch.ones(tokens, 8))  # 32 bytes a token, and as many before it
        return (y @ y.T).square().sum()  # four of a pair at once, on the way back

    probe = probe_memory(model, loss, 300)
    assert probe.pair == pytest.approx(4 * 4)
    assert probe.each == pytest.approx(2 * 32)
    assert model.weight.grad is None
    wanted = estimate_memory(model, probe, tokens=1000, longest=1000, scores=7)
    moments = sum(
        t.nbytes for t in AdamW(list(model.parameters()), learning_rate=0.1).state().values()
    )
    assert (wanted.gradients, wanted.optimizer) == (8 * 8 * 4, moments + 8 * 8 * 4)
    assert wanted.activations > 1000 * 1000 * probe.pair
    assert wanted.peak > wanted.resident > 1_000_000
