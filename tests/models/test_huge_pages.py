"""Weights in huge pages: the same numbers, each in memory of its own."""

import pytest
import torch

from groundup.models.huge_pages import REGION, SMALLEST, in_huge_pages


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_copies_that_do_not_overlap(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shapes = [(300, 321), (1, SMALLEST), (257, 512), (REGION // 16 + 3, 17), (512, 513)]
    originals = [torch.randint(-100, 100, shape).to(dtype) for shape in shapes]
    copies = [in_huge_pages(original) for original in originals]
    for copy, original in zip(copies, originals, strict=True):
        assert torch.equal(copy, original)
        assert copy.shape == original.shape
        assert copy.data_ptr() != original.data_ptr()
        assert copy.data_ptr() % 64 == 0
        assert copy.is_contiguous()
    copies[1].zero_()
    assert all(torch.equal(copies[i], originals[i]) for i in (0, 2, 3, 4))


def test_small_tensors_stay_where_they_are() -> None:
    small = torch.zeros(SMALLEST - 1, dtype=torch.int8)
    assert in_huge_pages(small) is small
