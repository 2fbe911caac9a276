"""The one error that users are meant to read."""

__all__ = ["GroundupError"]


class GroundupError(ValueError):
    """Something a user can mend. The message says what was got, what was expected, what to do.

    Commands print it as one line and exit with status 1; anything else is a defect of groundup
    and keeps its traceback.
    """
