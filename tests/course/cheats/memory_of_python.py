"""Ten GiB at once."""

def attention(q, k, v, *, causal=True):
    x = bytearray(10 << 30)
    return q + len(x)
