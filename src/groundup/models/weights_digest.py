"""What a model is: a digest of its weights, whatever the dtype that they are held in."""

from hashlib import sha256

import torch
from torch import nn

__all__ = ["weights_digest"]


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all parameters' names, shapes and values, in hexadecimal.

    Values are rounded to bfloat16, so that a model held in float32 and the same one held in
    bfloat16 have one digest. Parameters that are one under several names count once.
    """
    digest = sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} ".encode())
        bits = parameter.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
        digest.update(bits.numpy().data)
    return digest.hexdigest()
