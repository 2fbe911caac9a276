"""Keeps glibc's allocator from holding memory that a training has let go of."""

import ctypes

__all__ = ["return_freed_memory"]

M_MMAP_THRESHOLD = -3  # of malloc.h
LARGE = 4 << 20  # bytes


def return_freed_memory() -> bool:
    """Let tensors of 4 MB and more have pages of their own, which go back when they are freed.

    By itself glibc raises that bound to 32 MB as tensors are freed, and cuts smaller ones out of
    one heap, where rows of other lengths than the last ones leave gaps that fit nothing.

    Returns:
        Whether the allocator is glibc's, and was told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE))
