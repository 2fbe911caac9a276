"""Checks of `groundup.tokenizers.chat_template`. Oracle: the texts, put together by hand."""

from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Any

import jinja2.ext
import jinja2.sandbox  # noqa: F401

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError

Messages = list[dict[str, Any]]

CHATML = """{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""

HEADERS = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|header|>' + message.role + '<|end|>\\n\\n' + message.content | trim + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|header|>assistant<|end|>\\n\\n' }}{% endif %}"""

TALK: Messages = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!\nWhat is it?"},
    {"role": "user", "content": "  Bye "},
]


def chatml(messages: Messages, prompt: bool) -> str:
    given = messages
    if messages[0]["role"] != "system":
        given = [{"role": "system", "content": "Be brief."}, *messages]
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in given)
    return text + ("<|im_start|>assistant\n" if prompt else "")


def render(
    part: ModuleType, source: str, *args: Any, messages: Messages = TALK, **given: Any
) -> Any:
    return part.ChatTemplate(source).render(messages, *args, **given)


def fails(part: ModuleType, source: str, when: str, mention: str = "") -> None:
    assert_raises(GroundupError, lambda: render(part, source), when, mention)


def check_conversation(part: ModuleType) -> None:
    """A conversation in ChatML, with and without the opening of an answer"""
    system: Messages = [{"role": "system", "content": "Rhyme."}, *TALK]
    template = part.ChatTemplate(CHATML)
    for messages in (TALK, system, TALK[:1]):
        for prompt in (True, False):
            what = f"the text of {len(messages)} messages, add_generation_prompt={prompt},"
            assert_equal(template.render(messages, prompt), chatml(messages, prompt), what)
    assert_equal(template.render(TALK), chatml(TALK, True), "the text by default")
    assert_equal(template.source, CHATML, "source")


def check_tokens(part: ModuleType) -> None:
    """bos_token and eos_token are the template's variables, empty where not given"""
    answers = [("user", "Hi"), ("assistant", "Hello!\nWhat is it?"), ("user", "Bye")]
    text = "".join(f"<|header|>{role}<|end|>\n\n{content}</s>" for role, content in answers)
    template = part.ChatTemplate(HEADERS, bos_token="<s>", eos_token="</s>")
    assert_equal(template.render(TALK, add_generation_prompt=False), "<s>" + text, "the text")
    plain = render(part, HEADERS, False)
    assert_equal(plain, text.replace("</s>", ""), "the text without tokens")


def check_variables(part: ModuleType) -> None:
    """Other names are handed on; tools and documents are None, and not missing"""
    source = "{% if tools is none and documents is none %}no{% else %}{{ tools[0] }}{% endif %}"
    assert_equal(render(part, source), "no", "the text without tools")
    assert_equal(render(part, source, tools=["clock"]), "clock", "the text with a tool")
    source = "{{ thinking | default('unknown') }} {{ bos_token }}"
    assert_equal(render(part, source), "unknown ", "the text without thinking")
    template = part.ChatTemplate(source, bos_token="<s>")
    got = template.render(TALK, thinking=True, bos_token="[B]")
    assert_equal(got, "True [B]", "the text with thinking=True and a bos_token of its own")


def check_blocks_leave_no_space(part: ModuleType) -> None:
    """A block in a line of its own leaves neither its indent nor its line end"""
    source = "a\n  {% if true %}\nb\n\t{% endif %}\n c {% if true %}d{% endif %}\ne\n"
    # A line end right behind a block goes, also where the block does not stand alone.
    assert_equal(render(part, source), "a\nb\n c de", "the text")


def check_loops_can_be_left(part: ModuleType) -> None:
    """break and continue work in loops"""
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% continue %}{% endif %}"
        "{{ m.content | trim }};{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}"
    )
    assert_equal(render(part, source, messages=[*TALK, TALK[0]]), "Hi;Bye;", "the text")


def check_json(part: ModuleType) -> None:
    """tojson gives plain JSON, in the order of the keys, with the options of json.dumps"""
    tool = {"name": "find", "about": "a < b & 'é' > \"c\"", "n": None}
    texts = {
        "tojson": '{"name": "find", "about": "a < b & \'é\' > \\"c\\"", "n": null}',
        "tojson(ensure_ascii=true)": (
            '{"name": "find", "about": "a < b & \'\\u00e9\' > \\"c\\"", "n": null}'
        ),
        "tojson(indent=1)": (
            '{\n "name": "find",\n "about": "a < b & \'é\' > \\"c\\"",\n "n": null\n}'
        ),
        "tojson(separators=(',', ':'))": (
            '{"name":"find","about":"a < b & \'é\' > \\"c\\"","n":null}'
        ),
        "tojson(sort_keys=true)": (
            '{"about": "a < b & \'é\' > \\"c\\"", "n": null, "name": "find"}'
        ),
    }
    for expression, want in texts.items():
        got = render(part, "{{ tools[0] | " + expression + " }}", tools=[tool])
        assert_equal(got, want, f"the text of {expression}")


def check_contents_are_data(part: ModuleType) -> None:
    """What a message says is neither escaped nor taken for a template"""
    for content in ('<b>&amp; "it\'s"</b>', "{{ 7 * 7 }}", "{% break %}", "{{ messages }}"):
        got = render(part, "{{ messages[0].content }}", messages=[{"content": content}])
        assert_equal(got, content, f"the text of {content!r}")


def check_date(part: ModuleType) -> None:
    """strftime_now tells the local time"""
    before = datetime.now()
    got = render(part, "{{ strftime_now('%Y-%m-%d %H:%M:%S.%f') }}")
    after = datetime.now()
    try:
        told = datetime.strptime(got, "%Y-%m-%d %H:%M:%S.%f")
    except ValueError:
        raise CheckFailure(f"strftime_now gives {got!r}: expected a date and a time") from None
    if not before <= told <= after:
        raise CheckFailure(f"strftime_now tells {told}: expected a time from {before} to {after}")


def check_refusals(part: ModuleType) -> None:
    """A template that refuses, is not valid, or fails, raises GroundupError with the reason"""
    refused = "{{ raise_exception('roles must alternate') }}"
    fails(part, refused, "the template refuses", "roles must alternate")
    fails(part, "{% if %}", "the template is not valid", "Expected an expression")
    fails(part, "{{ messages[0].role.a.b }}", "an attribute of nothing is read", "has no attribute")
    fails(part, "{{ 1 / 0 }}", "the template divides by zero", "division by zero")
    fails(part, "{{ messages | unheard_of }}", "there is no such filter", "unheard_of")


def check_compiled_when_rendered(part: ModuleType) -> None:
    """A template that is not valid can be made, and is refused when it is rendered"""
    template = part.ChatTemplate("{% endfor %}")
    for _ in range(2):
        assert_raises(GroundupError, lambda: template.render(TALK), "the template is not valid")


def check_sandbox(part: ModuleType) -> None:
    """A template reaches nothing behind the messages"""
    for source in (
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ ('' | attr('__class__')).__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ '{0.__class__.__mro__}'.format('') }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{% include '/etc/hostname' %}",
    ):
        fails(part, source, f"the template is {source}")


def check_messages_stay(part: ModuleType) -> None:
    """A template cannot change the messages"""
    before = [dict(message) for message in TALK]
    for source in (
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages[0].clear() }}",
    ):
        fails(part, source, f"the template is {source}")
        assert_equal(TALK, before, f"the messages after {source}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: rendering ``size`` messages."""
    messages = (TALK * size)[:size]
    template = part.ChatTemplate(CHATML)
    return lambda: template.render(messages)


SIZE = 200
