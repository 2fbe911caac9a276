"""An error that cannot be printed."""

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


def attention(q, k, v, *, causal=True):
    raise Unprintable
