"""The field that is a text, the ids of one, a list of texts, or a list of ids."""

from collections.abc import Sequence

from groundup.serving.api_error import ApiError
from groundup.serving.chat_prompt import ChatPrompts

__all__ = ["prompts_of"]


async def prompts_of(
    given: str | Sequence[str | int | list[int]], prompts: ChatPrompts, *, special: bool, param: str
) -> list[tuple[int, ...]]:
    """The token ids of each text; ``special`` as of `Tokenizer.encode`.

    Raises: ApiError (400) for a list of different things, or what does not fit the context.
    """
    if isinstance(given, str):
        return [await prompts.text(given, special=special, param=param)]
    kinds = {type(item) for item in given}
    if len(kinds) != 1:
        raise ApiError(
            400,
            f"{param} is a list of different things: expected texts alone, ids alone, or lists of "
            "ids alone",
            param=param,
        )
    if kinds == {int}:
        return [prompts.fitting([item for item in given if isinstance(item, int)], param)]
    result = []
    for item in given:
        if isinstance(item, str):
            result.append(await prompts.text(item, special=special, param=param))
        elif isinstance(item, list):
            result.append(prompts.fitting(item, param))
    return result
