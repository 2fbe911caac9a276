"""Ten GiB at once."""

import numpy as np


def attention(q, k, v, *, causal=True):
    x = np.ones(10 << 30, dtype=np.uint8)
    return q + len(x)
