"""Transformers and their pieces, and loading them from files."""

import os

# How long OpenMP's threads spin for the next piece of work before they sleep; read when OpenMP is
# loaded, so it stands before any import of torch or Numba. By default they spin for longer than a
# token takes, and on a machine that has other work generation comes to a halt (docs/lab-notes.md).
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
