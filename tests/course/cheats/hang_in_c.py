"""A call into C that runs for minutes and lets no other Python code run."""

def attention(q, k, v, *, causal=True):
    return 7 ** (10**9)
