"""Keeps glibc's allocator from holding memory that a training has let go of."""

import ctypes

__all__ = ["return_freed_memory"]

M_MMAP_THRESHOLD = -3  # of malloc.h
LARGE = 4 << 20  # bytes


def return_freed_memory() -> bool:
    """Give back what is free now, and let tensors of 4 MB and more have pages of their own.

    By itself glibc raises that bound to 32 MB as tensors are freed, and cuts smaller ones out of
    one heap, where rows of other lengths than the last ones leave gaps that fit nothing. Called
    after each step, it keeps them from adding up: 12 rows of 400 to 500 tokens otherwise grew to
    twice what their tensors take.

    Returns:
        Whether the allocator is glibc's, and was told.
    """
    try:
        library = ctypes.CDLL(None)
        told = bool(library.mallopt(M_MMAP_THRESHOLD, LARGE))
        library.malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    return told
