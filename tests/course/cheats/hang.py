"""A loop that never ends."""

def attention(q, k, v, *, causal=True):
    n = 0
    while True: n += 1
