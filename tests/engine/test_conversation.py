"""Conversations on a tiny random model: what is kept, what is read again, what does not fit."""

import copy
from itertools import islice
from typing import cast

import pytest
import torch

from groundup.engine.conversation import Conversation
from groundup.engine.generate import generate_uncached
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel
from groundup.models.llama import Llama, LlamaConfig
from groundup.tokenizers.streaming import StreamDecoder
from groundup.tuning.adapt import adapt
from groundup.tuning.adapter_config import AdapterConfig, Method

GREEDY = SamplingParams()
STOP = 3  # ends a turn; 1 begins one, 2 is a system message's


class ByteTokenizer:
    """Ids are bytes, and each message is its role's mark, its bytes and a stop."""

    eos_ids = frozenset({STOP})

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        ids = []
        for message in messages:
            ids += [{"system": 2}.get(message["role"], 1), *message["content"].encode(), STOP]
        return [*ids, 1]

    def stream(self) -> StreamDecoder:
        return StreamDecoder(lambda token: bytes([token]))


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.manual_seed(4)
    config = LlamaConfig(
        vocabulary=256,
        dim=32,
        hidden_dim=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=8,
        context=200,
    )
    made = Llama(config).double().requires_grad_(False).eval()
    # Only ASCII letters come out, so that an answer read again has the ids that were generated.
    for parameter in made.parameters():
        parameter.mul_(3)
    bias = torch.full((256,), -1e9, dtype=torch.float64)
    bias[97:123] = 0
    made.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return made


@pytest.fixture
def chat(model: Llama) -> Conversation:
    return Conversation(model, ByteTokenizer())  # type: ignore[arg-type]


def say(chat: Conversation, text: str, params: SamplingParams = GREEDY, tokens: int = 8) -> str:
    return "".join(chat.reply(text, params, tokens))


def test_the_answer_is_the_models_own_continuation_of_the_template(
    chat: Conversation, model: Llama
) -> None:
    expected = generate_uncached(model, [1, *b"hello", STOP, 1], GREEDY, 8)
    assert say(chat, "hello") == bytes(expected).decode()
    assert chat.messages == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": bytes(expected).decode()},
    ]


def test_later_turns_say_what_a_conversation_without_a_cache_says(
    chat: Conversation, model: Llama
) -> None:
    for text in ("hello", "what then", "and now"):
        messages = [*chat.messages, {"role": "user", "content": text}]
        prompt = ByteTokenizer().encode_chat(messages)  # type: ignore[arg-type]
        expected = generate_uncached(model, prompt, GREEDY, 8)
        assert say(chat, text) == bytes(expected).decode()


def test_a_later_turn_reads_only_what_is_new(chat: Conversation, model: Llama) -> None:
    say(chat, "a long first message")
    read: list[int] = []
    hook = model.embed_tokens.register_forward_hook(lambda _, ids, __: read.append(ids[0].shape[1]))
    try:
        say(chat, "more", tokens=1)
    finally:
        hook.remove()
    assert read == [len([STOP, 1, *b"more", STOP, 1]) + 1]  # 1: the last answer's last token


def test_what_reads_otherwise_than_it_was_generated_is_read_again(
    chat: Conversation, model: Llama
) -> None:
    said = say(chat, "hello")
    chat.messages[-1]["content"] = said.upper()  # as when text has other ids than it came from
    messages = [*chat.messages, {"role": "user", "content": "more"}]
    prompt = ByteTokenizer().encode_chat(messages)  # type: ignore[arg-type]
    assert say(chat, "more") == bytes(generate_uncached(model, prompt, GREEDY, 8)).decode()


def test_the_same_seed_says_the_same_and_another_seed_something_else(model: Llama) -> None:
    def drawn(seed: int) -> str:
        chat = Conversation(model, ByteTokenizer())  # type: ignore[arg-type]
        return say(chat, "hello", SamplingParams(temperature=1.0, seed=seed), 20)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_what_was_said_before_an_interruption_is_kept(chat: Conversation, model: Llama) -> None:
    whole = say(Conversation(model, ByteTokenizer()), "hello")  # type: ignore[arg-type]
    answer = chat.reply("hello", GREEDY, 8)
    assert "".join(islice(answer, 3)) == whole[:3]
    with pytest.raises(KeyboardInterrupt):
        answer.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert chat.messages[1:] == [{"role": "assistant", "content": whole[:3]}]
    prompt = ByteTokenizer().encode_chat([*chat.messages, {"role": "user", "content": "go on"}])  # type: ignore[list-item]
    assert say(chat, "go on") == bytes(generate_uncached(model, prompt, GREEDY, 8)).decode()


def test_an_interruption_inside_the_model_leaves_a_usable_cache(
    chat: Conversation, model: Llama
) -> None:
    say(chat, "hello")
    before = list(chat.messages)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    hook = model.layers[1].register_forward_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            say(chat, "lost")
    finally:
        hook.remove()
    assert chat.messages == before
    prompt = ByteTokenizer().encode_chat([*before, {"role": "user", "content": "again"}])  # type: ignore[list-item]
    assert say(chat, "again") == bytes(generate_uncached(model, prompt, GREEDY, 8)).decode()


def test_a_message_that_does_not_fit_leaves_the_conversation_as_it_was(chat: Conversation) -> None:
    say(chat, "hello")
    before = list(chat.messages)
    with pytest.raises(
        GroundupError, match=r"is 2\d\d tokens long, and the model reads at most 199"
    ):
        say(chat, "x" * 200)
    assert chat.messages == before
    assert len(say(chat, "short")) == 8


def test_an_answer_ends_where_the_context_does(chat: Conversation) -> None:
    assert len(say(chat, "x" * 187, tokens=50)) == 10  # 190 of 200 are the prompt's


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_what_stands_before_a_text_takes_room_and_stays_in_later_turns(
    model: Llama, method: Method
) -> None:
    """Seven virtual positions of a context of 200; two turns are those of the whole text."""
    adapted = adapt(copy.deepcopy(model), AdapterConfig(method, virtual_tokens=7), seed=1)
    chat = Conversation(cast(LanguageModel, adapted), ByteTokenizer())  # type: ignore[arg-type]
    say(chat, "hello")
    messages = [*chat.messages, {"role": "user", "content": "more"}]
    prompt = ByteTokenizer().encode_chat(messages)  # type: ignore[arg-type]
    own = generate_uncached(cast(LanguageModel, adapted), prompt, GREEDY, 8)
    assert own != generate_uncached(model, prompt, GREEDY, 8)
    assert say(chat, "more") == bytes(own).decode()
    chat.messages.clear()
    assert len(say(chat, "x" * 180, tokens=50)) == 10  # of 193, 183 are the prompt's
    with pytest.raises(GroundupError, match="the model reads at most 192"):
        say(chat, "x" * 180)


def test_reset_forgets_the_turns_and_keeps_the_system_message(model: Llama) -> None:
    chat = Conversation(model, ByteTokenizer(), "be kind")  # type: ignore[arg-type]
    first = say(chat, "hello")
    say(chat, "more")
    chat.reset()
    assert chat.messages == [{"role": "system", "content": "be kind"}]
    assert say(chat, "hello") == first


def test_another_system_message_starts_anew(chat: Conversation, model: Llama) -> None:
    say(chat, "hello")
    chat.reset("be brief")
    prompt = [2, *b"be brief", STOP, 1, *b"hello", STOP, 1]
    assert say(chat, "hello") == bytes(generate_uncached(model, prompt, GREEDY, 8)).decode()
    assert chat.system == "be brief"


def test_an_answer_without_text_is_no_turn(
    chat: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.tokenizer, "eos_ids", frozenset(range(256)), raising=False)
    assert say(chat, "hello") == ""
    assert chat.messages == []


def test_a_warm_up_leaves_no_trace(chat: Conversation, model: Llama) -> None:
    expected = say(Conversation(model, ByteTokenizer()), "hello")  # type: ignore[arg-type]
    chat.warm_up()
    assert chat.messages == []
    assert say(chat, "hello") == expected
