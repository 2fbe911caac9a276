"""A function that calls itself for ever."""

def attention(q, k, v, *, causal=True):
    return attention(q, k, v, causal=causal)
