"""groundup: an AI engineer's whole stack, built from the ground up, and then rebuilt by you."""

import os

__version__ = "0.1.0"

# How long OpenMP's threads spin for the next piece of work before they sleep; read when OpenMP is
# loaded, so it stands before any import of torch or Numba. By default they spin for longer than a
# token takes, and beside other busy programs generation comes to a halt (docs/lab-notes.md).
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
