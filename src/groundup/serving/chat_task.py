"""From a conversation, its tools and the form of its answer to requests of the engine.

The chat and the responses interface write the same things differently; here they meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundup.engine.request import Constraint, Request
from groundup.engine.sampling_params import SamplingParams
from groundup.serving.api_error import ApiError
from groundup.serving.messages import Message
from groundup.serving.service import Service
from groundup.serving.tool_calls import ArrayOfCalls, CallParser, HermesCalls, NamedCall, PlainText
from groundup.serving.tools import ToolChoice, ToolFunction, check_tools, tool_constraint

__all__ = ["ChatTask", "chat_task"]


@dataclass(frozen=True)
class ChatTask:
    """What the engine is asked, and how each answer is searched for calls."""

    requests: list[Request]
    parser: Callable[[], CallParser]


async def chat_task(
    service: Service,
    messages: Sequence[Message],
    params: Sequence[SamplingParams],
    *,
    tools: list[ToolFunction],
    tool_choice: ToolChoice | None,
    parallel: bool,
    constraint: Constraint | None,
    max_tokens: int | None,
    logprobs: int | None,
    ignore_eos: bool = False,
    whole: bool = False,
    adapter: str | None = None,
    param: str = "messages",
) -> ChatTask:
    """Arguments:
    params: one for each answer.
    tool_choice: None where the request makes none.
    parallel: whether one answer may hold several calls.
    param: the field that holds the conversation.
    constraint: of the answer's text.
    whole: whether nothing looks at the text before it is complete.

    Raises: ApiError (400) for what does not go together, or does not fit the context.
    """
    choice = tool_choice or ToolChoice("auto" if tools else "none")
    check_tools(tools, choice, tool_choice is not None)
    offered = tools if choice.mode != "none" else []
    if offered and constraint is not None:
        raise ApiError(
            400,
            "a response format leaves no way to call tools: give only one of the two, or set "
            "tool_choice to none",
            param="response_format",
        )
    parser: Callable[[], CallParser] = PlainText
    if offered and choice.name is not None:
        name = choice.name
        parser = lambda: NamedCall(name)  # noqa: E731
    elif offered and choice.mode == "required":
        parser = ArrayOfCalls
    elif offered:
        names = {tool.name for tool in offered}
        parser = lambda: HermesCalls(names, parallel)  # noqa: E731
    if choice.mode == "required":
        constraint = tool_constraint(offered, choice, parallel)
    prompt = await service.prompts.chat(messages, offered, param=param)
    service.prompts.check_room(prompt, max_tokens, param)
    stop_ids = frozenset() if ignore_eos else service.engine.tokenizer.eos_ids
    whole = whole and parser is PlainText  # calls may end an answer early
    requests = [
        Request(prompt, each, max_tokens, stop_ids, logprobs, constraint, adapter, whole)
        for each in params
    ]
    return ChatTask(requests, parser)
