"""Keeps oneDNN, which computes torch's products on a CPU, from keeping code for every shape."""

import os

__all__ = ["keep_few_primitives"]

# Of oneDNN, and of the layer between it and torch. Both keep 1,024 without these. A step has about
# forty shapes, each of which occurs in every layer.
LIMITS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}


def keep_few_primitives() -> None:
    """Bound what is kept of products that were computed, before the first one.

    For every new shape of a product oneDNN makes machine code, and keeps it with its buffers: some
    hundred kilobytes. Packed rows and the texts in them have ever new lengths, and 36 steps over
    such took 590 MB more, without being any faster. What the environment says already stands.
    """
    for name, limit in LIMITS.items():
        os.environ.setdefault(name, limit)
