"""As if somebody had pressed Ctrl-C."""

def attention(q, k, v, *, causal=True):
    raise KeyboardInterrupt
