"""Flash attention, windows and the fused operation inside models; how their memory grows."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.models.attention import attention
from groundup.models.flash_attention import flash_attention
from groundup.models.fused_attention import fused_attention
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.language_model import Attend
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.sliding_window import sliding_window_attention


class LargestTensor(TorchDispatchMode):
    """The most numbers that any tensor has which an operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


@pytest.mark.parametrize("attend", [flash_attention, fused_attention])
def test_models_train_alike_however_they_attend(attend: Attend) -> None:
    ids = torch.randint(0, 50, (2, 150), generator=torch.Generator().manual_seed(0))
    for make in (
        lambda a: GPT2(GPT2Config(50, 160, 32, 2, 4), a),
        lambda a: Llama(LlamaConfig(50, 32, 48, 2, 4, 2, 8, 160), a),
    ):
        gradients = []
        for chosen in (attention, attend):
            torch.manual_seed(1)
            model = make(chosen)
            model(ids).logsumexp(-1).sum().backward()
            gradients.append([p.grad for p in model.parameters()])
        for want, got in zip(*gradients, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_memory_grows_with_the_length_and_not_with_its_square() -> None:
    q, k, v = torch.randn(3, 1, 1, 2048, 8)
    q.requires_grad_()
    with LargestTensor() as seen:
        flash_attention(q, k, v).sum().backward()
    assert seen.largest == 2048 * 8
    with LargestTensor() as seen:
        sliding_window_attention(q.detach(), k, v, window=50)
    assert seen.largest == 2048 * 8
    with LargestTensor() as seen:
        attention(q.detach(), k, v)
    assert seen.largest > 4 * 2048 * 8


def test_the_fused_operation_takes_queries_for_the_last_positions() -> None:
    q = torch.randn(1, 4, 6, 8)
    k, v = torch.randn(2, 1, 2, 6, 8)
    for causal in (True, False):
        whole = attention(q, k, v, causal=causal)
        for T in (1, 3, 6):
            got = fused_attention(q[:, :, 6 - T :], k, v, causal=causal)
            torch.testing.assert_close(got, whole[:, :, 6 - T :], rtol=1e-4, atol=1e-5)
            with torch.autocast("cpu", torch.bfloat16):
                narrow = fused_attention(q[:, :, 6 - T :], k, v, causal=causal)
            torch.testing.assert_close(narrow.float(), got, rtol=0.05, atol=0.05)
    with pytest.raises(ValueError, match="6 causal queries"):
        fused_attention(q, k[:, :, :3], v[:, :, :3])
