"""Checks of `groundup.tuning.sequence_packing`. Oracle: the model, given each text alone."""

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal

EXACT = {"rtol": 1e-10, "atol": 1e-12}
PADDING = -1
TEXTS = ([5, 3, 2], [4, 6], [1, 1, 7])  # lengths of the texts of each row, of 10 places


def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """Attention of (B, H, T, D), written out."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, float("-inf"))
    attended: Tensor = scores.softmax(-1) @ v
    return attended


def attend_sharply(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    return attend(3 * q, k, v, causal=causal)


class Layer(nn.Module):
    def __init__(self, attend: Callable[..., Tensor]) -> None:
        super().__init__()
        self.attend = attend
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 6, 4).transpose(1, 2).chunk(3, dim=1)
        found: Tensor = x + self.attend(q, k, v, causal=True).transpose(1, 2).reshape(x.shape)
        return found


class Tiny(nn.Module):
    """Two layers with positions that are learned, so that a wrong one shows."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(16, 8)
        self.layers = nn.ModuleList([Layer(attend), Layer(attend_sharply)])
        self.seen: list[tuple[int, ...]] = []
        self.double()

    def read(self, ids: Tensor, positions: Tensor) -> Tensor:
        self.seen.append(tuple(ids.shape))
        x: Tensor = self.words(ids) + self.places(positions)
        for layer in self.layers:
            x = layer(x)
        return x

    def hidden(self, ids: Tensor) -> Tensor:
        return self.read(ids, torch.arange(ids.shape[1]))

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.words.weight.T


class TinyWithPositions(Tiny):
    def hidden(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.read(ids, torch.arange(ids.shape[1]) if positions is None else positions)


class Case:
    """Rows of packed texts, and what the model says of each text alone, one behind the other."""

    def __init__(self, model: Tiny) -> None:
        lengths = [length for row in TEXTS for length in row]
        texts = [torch.randint(20, (length,)) for length in lengths]
        self.expected = torch.cat([model.hidden(text[None])[0] for text in texts]).detach()
        self.ids = torch.randint(20, (len(TEXTS), 10))  # what is padding could be anything
        self.positions = torch.full((len(TEXTS), 10), PADDING)
        left = iter(texts)
        for row, own in enumerate(TEXTS):
            self.ids[row, : sum(own)] = torch.cat([next(left) for _ in own])
            self.positions[row, : sum(own)] = torch.cat([torch.arange(length) for length in own])
        model.seen.clear()


def check_positions(part: ModuleType) -> None:
    """positions_of: each text begins at 0, and what is left of the row is padding"""
    expected = torch.tensor([0, 1, 2, 0, 0, 1, PADDING, PADDING])
    assert_close(part.positions_of([3, 1, 2], 8), expected, rtol=0, atol=0, what="the positions")
    full = part.positions_of([3, 1, 2], 6)
    assert_close(full, expected[:6], rtol=0, atol=0, what="the positions of a full row")


def check_lengths(part: ModuleType) -> None:
    """lengths_of: how long the texts are, also those of one token"""
    for lengths in ([3, 1, 2], [4], [1, 1, 1, 5]):
        positions = torch.cat([torch.arange(length) for length in lengths])
        assert_equal(part.lengths_of(positions), lengths, f"the lengths in {positions.tolist()}")


def check_each_alone(part: ModuleType) -> None:
    """A model that takes positions: each text's output is as if it were alone"""
    model = TinyWithPositions()
    case = Case(model)
    got = part.hidden_of_packed(model, case.ids, case.positions)
    assert_close(got.detach(), case.expected, what="the output", **EXACT)


def check_no_position_is_wasted(part: ModuleType) -> None:
    """A model that takes positions reads all texts at once, without the padding, as one row"""
    model = TinyWithPositions()
    case = Case(model)
    part.hidden_of_packed(model, case.ids, case.positions)
    assert_equal(model.seen, [(1, len(case.expected))], "the shapes of what the model read")


def check_without_positions(part: ModuleType) -> None:
    """A model that takes none: its texts are a batch, and their outputs the same"""
    model = Tiny()
    case = Case(model)
    got = part.hidden_of_packed(model, case.ids, case.positions)
    assert_close(got.detach(), case.expected, what="the output", **EXACT)


def check_attention_in_pieces(part: ModuleType) -> None:
    """Attention costs what it costs for the texts alone: each call is for one of them"""
    model = TinyWithPositions()
    case = Case(model)
    longest = max(length for row in TEXTS for length in row)
    asked: list[int] = []

    def noted(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
        asked.append(q.shape[2])
        return attend(q, k, v, causal=causal)

    for layer in model.layers:
        layer.attend = noted  # type: ignore[assignment]
    part.hidden_of_packed(model, case.ids, case.positions)
    if not asked or max(asked) > longest:
        raise CheckFailure(f"attention was asked for {asked} positions: expected {longest} at most")


def check_attention_is_put_back(part: ModuleType) -> None:
    """Afterwards each module has its own attention again, also when the model failed"""
    model = TinyWithPositions()
    case = Case(model)
    part.hidden_of_packed(model, case.ids, case.positions)
    own = [layer.attend in (attend, attend_sharply) for layer in model.layers]
    assert_equal(own, [True, True], "whether the modules have their attention again")
    case.ids[0, 0] = 99  # which the embedding does not have
    try:
        part.hidden_of_packed(model, case.ids, case.positions)
    except IndexError:
        own = [layer.attend in (attend, attend_sharply) for layer in model.layers]
        assert_equal(own, [True, True], "whether they have it again after an error")
    else:
        raise CheckFailure("the model's error is lost: expected the IndexError of its embedding")


def check_gradients(part: ModuleType) -> None:
    """Gradients are the sum of the texts' own"""
    for model in (TinyWithPositions(), Tiny()):
        torch.manual_seed(1)
        case, weight = Case(model), torch.randn(len([t for r in TEXTS for t in r]), 1)
        lengths = [length for row in TEXTS for length in row]
        flat = torch.split(case.ids[case.positions >= 0], lengths)
        outs = [model.hidden(text[None])[0] for text in flat]
        total = sum((w * out.square()).sum() for w, out in zip(weight, outs, strict=True))
        expected = torch.autograd.grad(total, list(model.parameters()))
        got = part.hidden_of_packed(model, case.ids, case.positions)
        each = weight.flatten().repeat_interleave(torch.tensor(lengths))[:, None]
        found = torch.autograd.grad((each * got.square()).sum(), list(model.parameters()))
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b, rtol=1e-8, atol=1e-10, what="the gradient of a parameter")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: texts of 16 tokens in rows of 64, ``size`` rows."""
    model = TinyWithPositions()
    ids = torch.randint(20, (size, 64))
    positions = torch.arange(64).remainder(16).expand(size, 64)
    return torch.no_grad()(lambda: part.hidden_of_packed(model, ids, positions))


SIZE = 8
