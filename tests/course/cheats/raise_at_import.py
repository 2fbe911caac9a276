"""A statement that fails at import."""

SCALE = {}["scale"]
