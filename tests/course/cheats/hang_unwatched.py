"""A loop that never ends, with the stack's timer switched off."""

import faulthandler


def attention(q, k, v, *, causal=True):
    faulthandler.cancel_dump_traceback_later()
    while True:
        pass
