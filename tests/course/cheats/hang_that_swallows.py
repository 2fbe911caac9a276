"""A loop that no exception ends."""

def attention(q, k, v, *, causal=True):
    while True:
        try:
            q = q + 1
        except BaseException:
            pass
