"""A call that sleeps."""

import time


def attention(q, k, v, *, causal=True):
    time.sleep(600)
