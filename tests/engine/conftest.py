"""Triton's kernels run on the GPU where there is one, and in Triton's interpreter elsewhere."""

import os
from importlib.util import find_spec

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # is read when a kernel is defined

collect_ignore_glob = [] if find_spec("triton") else ["test_triton_*.py"]


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device(DEVICE)
