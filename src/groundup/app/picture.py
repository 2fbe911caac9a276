"""What a picture of a lesson is."""

from collections.abc import Callable
from dataclasses import dataclass

from groundup.app.application import App

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """A picture that one can change, in the page of the part it belongs to."""

    part: str
    draw: Callable[[App], None]  # into the place where it is called
