"""Vue components of the app's own, each a ``.js`` file beside its Python class."""
