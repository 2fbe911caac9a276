"""Transformers and their pieces, and loading them from files."""
