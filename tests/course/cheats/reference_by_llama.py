"""The reference, from a module that uses it."""

import groundup.models.llama as reference


def attention(q, k, v, *, causal=True):
    return reference.attention(q, k, v, causal=causal)
