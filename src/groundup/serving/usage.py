"""How many tokens a request took."""

from msgspec import Struct

__all__ = ["Usage"]


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
