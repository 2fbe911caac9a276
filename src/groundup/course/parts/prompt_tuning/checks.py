"""Checks of `groundup.tuning.prompt_tuning`. Oracle: rows of a table, one by one."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from groundup.course.grader.compare import assert_close, assert_equal

EXACT = {"rtol": 0.0, "atol": 0.0}


def made(part: ModuleType, *, tokens: int = 3) -> tuple[Any, nn.Embedding]:
    base = nn.Embedding(10, 4)
    return part.PromptEmbedding(base, tokens), base


def oracle(table: Tensor, prompt: Tensor, ids: Tensor) -> Tensor:
    """The vectors of ids, of which those from 10 on are the prompt's."""
    rows = torch.cat([table.detach(), prompt.detach()])
    return torch.stack([torch.stack([rows[i] for i in text]) for text in ids.tolist()])


def check_before(part: ModuleType) -> None:
    """before: the virtual tokens' ids stand first in each text"""
    ids = torch.tensor([[7, 0], [3, 9]])
    expected = torch.tensor([[10, 11, 12, 7, 0], [10, 11, 12, 3, 9]])
    layer, _ = made(part)
    assert_close(layer.before(ids), expected, what="the ids", **EXACT)


def check_first_vectors(part: ModuleType) -> None:
    """The virtual tokens begin as vectors of tokens that the generator draws"""
    base = nn.Embedding(500, 6)
    table = base.weight.detach().clone()
    seeds = [torch.Generator().manual_seed(seed) for seed in (4, 4, 5)]
    found = [part.PromptEmbedding(base, 20, generator=g).prompt.detach() for g in seeds]
    same = (found[0][:, None] == table).all(2)
    assert_equal(same.sum(1).tolist(), [1] * 20, "how many rows each virtual token equals")
    assert_equal(len(set(same.nonzero()[:, 1].tolist())) > 10, True, "that the rows are many")
    assert_close(found[0], found[1], what="the vectors of the same seed", **EXACT)
    assert_equal(bool((found[0] == found[2]).all()), False, "whether another seed draws the same")


def check_vectors(part: ModuleType) -> None:
    """Tokens get the vocabulary's vectors and virtual ones their own, wherever they stand"""
    layer, base = made(part)
    prompt = torch.randn(3, 4)
    cases = [torch.tensor([[10, 11, 12, 7, 0], [10, 11, 12, 3, 9]]), torch.tensor([[5, 12, 9, 10]])]
    expected = [oracle(base.weight, prompt, ids) for ids in cases]
    with torch.no_grad():
        layer.prompt.copy_(prompt)
    for ids, want in zip(cases, expected, strict=True):
        assert_close(layer(ids).detach(), want, what=f"the vectors of {ids.tolist()}", **EXACT)


def check_text_alone(part: ModuleType) -> None:
    """Without virtual tokens it is the embedding that it was; weight is the vocabulary's"""
    ids = torch.tensor([[9, 0, 4]])
    layer, base = made(part)
    expected = base.weight.detach()[ids]
    assert_close(layer(ids).detach(), expected, what="the vectors of a text", **EXACT)
    assert_close(layer.weight.detach(), base.weight.detach(), what="the weight", **EXACT)


def check_gradients(part: ModuleType) -> None:
    """Gradients reach the virtual vectors; the vocabulary's are frozen"""
    layer, base = made(part)
    weight = torch.randn(2, 5, 4)
    ids = torch.tensor([[10, 11, 12, 7, 0], [10, 11, 12, 3, 9]])
    (layer(ids) * weight).sum().backward()
    expected = weight[:, :3].sum(0)
    assert_close(layer.prompt.grad, expected, rtol=1e-6, atol=1e-6, what="the prompt's gradient")
    assert_equal(base.weight.grad is None, True, "that the vocabulary has no gradient")
    trained = [name for name, p in layer.named_parameters() if p.requires_grad]
    assert_equal(trained, ["prompt"], "the parameters that are trained")


def check_base_is_not_changed(part: ModuleType) -> None:
    """Training the virtual vectors does not move those that they began as"""
    layer, base = made(part, tokens=6)
    before = base.weight.detach().clone()
    with torch.no_grad():
        layer.prompt.add_(1.0)
    assert_close(base.weight.detach(), before, what="the vocabulary's vectors", **EXACT)


def check_narrow_base(part: ModuleType) -> None:
    """A bfloat16 embedding: the virtual vectors are float32, what comes out is bfloat16"""
    base = nn.Embedding(10, 4).bfloat16()
    layer = part.PromptEmbedding(base, 3)
    assert_equal(str(layer.prompt.dtype), "torch.float32", "the dtype of the virtual vectors")
    ids = torch.tensor([[10, 11, 12, 7]])
    expected = oracle(base.weight.float(), layer.prompt, ids).bfloat16()
    assert_close(layer(ids).detach(), expected, what="the vectors", **EXACT)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: 20 virtual tokens before ``size`` others."""
    layer, ids = part.PromptEmbedding(nn.Embedding(1000, 576), 20), torch.randint(1000, (1, size))
    return torch.no_grad()(lambda: layer(layer.before(ids)))


SIZE = 256
