"""An error with megabytes to say."""

def attention(q, k, v, *, causal=True):
    raise TypeError("x" * (4 << 20))
