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
    """One model's template; compiled when it is first rendered."""

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """``source``: the Jinja2 text; the tokens are what the template's variables name so."""
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
            variables: more names for the template, such as ``tools`` or ``enable_thinking``.

        Raises: GroundupError if the template is not valid, refuses the messages, or fails.
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
    """Jinja2's own filter escapes ``<``, ``>``, ``&`` and ``'`` for HTML; models saw plain JSON."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def raise_exception(message: str) -> None:
    raise GroundupError(message)


def strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
