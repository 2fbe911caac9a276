"""Chat templates: from a conversation to the one text that the model was trained on.

The template is a Jinja2 program out of a model file, so it is not trusted: it runs in Jinja2's
immutable sandbox, reaches no file, module or attribute that starts with an underscore, and cannot
change the messages. It can still waste time. The environment is the one that Hugging Face's
templates are written for (transformers, "Chat templates").
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["ChatTemplate"]


class ChatTemplate:
    """One model's template; compiled when it is first rendered.

    Templates expect of Jinja2: blocks that leave no space behind (``trim_blocks`` and
    ``lstrip_blocks``), nothing escaped for HTML, ``break`` and ``continue`` in loops; the filter
    `to_json` by the name ``tojson``, and the functions `raise_exception` and `strftime_now`.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """Keep the template; a text that is not valid is found when it is rendered.

        Arguments:
            source: the Jinja2 text, which stays readable as ``self.source``.
            bos_token, eos_token: what the template's variables of these names hold.
        """
        self.source = source
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The text of a conversation.

        Arguments:
            messages: ``{"role": "system" | "user" | "assistant" | ..., "content": ...}`` in order.
            add_generation_prompt: end with the opening of the assistant's next message.
            variables: more names for the template, such as ``tools`` or ``enable_thinking``; they
                also win over the tokens. ``tools`` and ``documents`` are None where not given, as
                templates ask for them without asking first whether they are there.

        Raises: GroundupError, with the reason, if the template is not valid, refuses the messages,
        does what the sandbox forbids, or fails in any other way.
        """
        given = {"tools": None, "documents": None, **self._tokens, **variables}
        try:
            return self._template.render(
                given, messages=messages, add_generation_prompt=add_generation_prompt
            )
        except Exception as error:  # the template is foreign code and can raise anything
            reason = " ".join(str(error).split()) or "no reason given"
            raise GroundupError(
                f"the model's chat template failed ({type(error).__name__}: {reason}); expected "
                "messages with a role and a content that it accepts; change the messages or give "
                "another template"
            ) from error

    @cached_property
    def _template(self) -> "Template":
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = to_json
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = strftime_now
        return environment.from_string(self.source)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models saw it, with the options of `json.dumps`.

    Jinja2's own filter escapes ``<``, ``>``, ``&`` and ``'`` for HTML. Letters beyond ASCII stay.
    """
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def raise_exception(message: str) -> None:
    """By which a template refuses a conversation. Raises: GroundupError with this message."""
    raise GroundupError(message)


def strftime_now(format: str) -> str:
    """The local date and time in a format of `datetime.strftime`, for prompts that tell the day."""
    return datetime.now().strftime(format)
