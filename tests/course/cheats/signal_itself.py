"""A signal that Python has no name for."""

import signal


def attention(q, k, v, *, causal=True):
    signal.raise_signal(40)
