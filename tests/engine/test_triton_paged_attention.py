"""Paged attention on a GPU against torch's fused attention over gathered keys, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.engine.triton_paged_attention import paged_attention


class Case:
    """Sequences in scattered blocks. What is not theirs is NaN, which spoils what reads it."""

    def __init__(
        self, chunks: list[tuple[int, int]], heads: int, kv_heads: int, dim: int, block_size: int,
        dtype: torch.dtype = torch.float32, shared: int = 0,
    ) -> None:  # fmt: skip
        """``chunks``: positions read before, rows now; all share their first ``shared`` blocks."""
        draw = torch.Generator().manual_seed(0)
        widths = [-(-(before + rows) // block_size) for before, rows in chunks]
        order = torch.randperm(sum(widths) + 3, generator=draw)
        self.tables = torch.full((len(chunks), max(widths)), len(order) - 1, dtype=torch.int32)
        shape = (len(order), kv_heads, block_size, dim)
        self.keys = torch.full(shape, torch.nan, dtype=dtype)
        self.values = self.keys.clone()
        for index, ((before, rows), width) in enumerate(zip(chunks, widths, strict=True)):
            table = order[sum(widths[:index]) :][:width].clone()
            if index:
                table[:shared] = self.tables[0, :shared]
            self.tables[index, :width] = table
            for position in range(before + rows):
                for store in (self.keys, self.values):
                    block, place = divmod(position, block_size)
                    if store[table[block], 0, place, 0].isnan():
                        new = torch.randn((kv_heads, dim), generator=draw)
                        store[table[block], :, place] = new.to(dtype)
        self.sequence_of = torch.tensor([i for i, (_, n) in enumerate(chunks) for _ in range(n)])
        self.positions = torch.tensor([b + i for b, n in chunks for i in range(n)])
        self.chunks = chunks
        q = torch.randn((len(self.positions), heads, dim), generator=draw)
        self.q = (2 * q).to(dtype)

    def starts(self, most_rows: int) -> list[int]:
        starts = [0]
        for _, rows in self.chunks:
            first = starts[-1]
            starts += [*range(first + most_rows, first + rows, most_rows), first + rows]
        return starts

    def attended(self, device: torch.device, most_rows: int, splits: int) -> Tensor:
        def ints(values: Tensor) -> Tensor:
            return values.to(device, torch.int32)

        return paged_attention(
            self.q.to(device), self.keys.to(device), self.values.to(device), ints(self.tables),
            ints(self.sequence_of), ints(self.positions),
            ints(torch.tensor(self.starts(most_rows))), most_rows=most_rows, splits=splits,
        ).cpu()  # fmt: skip

    def expected(self) -> Tensor:
        rows = []
        groups = self.q.shape[1] // self.keys.shape[1]
        for q, sequence, position in zip(self.q, self.sequence_of, self.positions, strict=True):
            k, v = (
                store[self.tables[sequence].long()].transpose(1, 2).flatten(0, 1)[: position + 1]
                .double().transpose(0, 1).repeat_interleave(groups, 0)
                for store in (self.keys, self.values)
            )  # fmt: skip
            out = F.scaled_dot_product_attention(q.double()[:, None], k, v)
            rows.append(out.flatten())
        return torch.stack(rows)


@pytest.mark.parametrize("splits", [1, 4])
def test_one_row_of_each_sequence(device: torch.device, splits: int) -> None:
    case = Case([(0, 1), (129, 1), (63, 1), (64, 1)], 6, 2, 12, 8)
    got = case.attended(device, 1, splits)
    torch.testing.assert_close(got.double(), case.expected(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("splits", [1, 2])
def test_rows_of_chunks_see_the_keys_up_to_their_own(device: torch.device, splits: int) -> None:
    """Also where a share of the keys lies behind some rows of a tile and not behind others."""
    case = Case([(60, 9), (0, 7), (20, 1)], 3, 1, 16, 16)
    got = case.attended(device, 6, splits)
    torch.testing.assert_close(got.double(), case.expected(), rtol=1e-5, atol=2e-6)


def test_sequences_that_share_blocks(device: torch.device) -> None:
    case = Case([(16, 2), (17, 1)], 2, 2, 16, 8, shared=2)
    got = case.attended(device, 2, 1)
    torch.testing.assert_close(got.double(), case.expected(), rtol=1e-5, atol=2e-6)


# The interpreter has no products of bfloat16.
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16][: 1 + torch.cuda.is_available()])
def test_narrow_values(device: torch.device, dtype: torch.dtype) -> None:
    case = Case([(70, 1), (3, 2)], 4, 2, 16, 8, dtype)
    got = case.attended(device, 2, 2)
    assert got.dtype == dtype
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(got.double(), case.expected(), rtol=2 * step, atol=2 * step)


def test_shapes_that_do_not_fit(device: torch.device) -> None:
    case = Case([(0, 1)], 4, 2, 16, 8)
    with pytest.raises(ValueError, match="power of two, got 3"):
        case.attended(device, 1, 3)
    case.q = case.q[:, :3]
    with pytest.raises(ValueError, match="multiple of H_kv"):
        case.attended(device, 1, 1)
