"""What users chose, and the limits that admins set for all."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from groundup.app.store.store import Store
from groundup.errors import GroundupError

__all__ = ["Limits", "preferred_model", "put_limits", "read_limits"]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one user may ask for."""

    answer_tokens: Annotated[int, Meta(ge=16, le=1_000_000)] = 4096
    message_characters: Annotated[int, Meta(ge=100, le=1_000_000)] = 50_000
    running_answers: Annotated[int, Meta(ge=1, le=1000)] = 64


def read_limits(store: Store) -> Limits:
    """The limits that hold now."""
    return msgspec.convert(store.server_settings.get("limits", {}), Limits)


def put_limits(store: Store, values: Mapping[str, object]) -> Limits:
    """Set limits; those that are not given are as they are at first.

    Raises:
        GroundupError: a value is not a whole number in its range.
    """
    try:
        limits = msgspec.convert(values, Limits)
    except msgspec.ValidationError as error:
        raise GroundupError(f"these are no limits: {error}") from None
    store.server_settings.put("limits", msgspec.structs.asdict(limits))
    return limits


def preferred_model(store: Store, user: str) -> str | None:
    """The model that a user's new conversations begin with; None where none was chosen."""
    model = store.settings.get(user, "model")
    return model if isinstance(model, str) and model else None  # an import may hold anything
