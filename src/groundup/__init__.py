"""groundup: an AI engineer's whole stack, built from the ground up, and then rebuilt by you."""

__version__ = "0.1.0"
