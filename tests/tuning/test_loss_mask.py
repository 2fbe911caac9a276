"""The mask: for templates of several families, what counts is what the assistant wrote."""

from collections.abc import Callable

import pytest

from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.load_tokenizer import load_tokenizer
from groundup.tokenizers.chat_template import ChatTemplate
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.chat_format import PLAIN
from groundup.tuning import loss_mask
from groundup.tuning.data_file import Example
from groundup.tuning.examples import encode_examples
from groundup.tuning.loss_mask import mask_conversation, mask_text

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Llama 2: trimmed, without tokens of its own between the turns.
INST = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% else %} {{ m.content.strip() }} <|im_end|>{% endif %}{% endfor %}"
)
# As Gemma: refuses roles that do not alternate, and calls the assistant otherwise.
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim }}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
# As Qwen3: the reasoning of earlier turns is left out.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As those that end a call and the turn in which it is made.
TWICE = CHATML.replace("<|im_end|>", "<|im_end|><|im_end|>")
# As some distillations: the prompt opens the reasoning, the conversation does not.
OPENING = CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>\n' }}{% endif")
TURNS = [
    {"role": "user", "content": "hi "},
    {"role": "assistant", "content": " first <|im_end|> one"},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "second\n"},
]


@pytest.fixture(name="tokenizer", scope="module")
def tokenizer_fixture() -> Callable[[str], Tokenizer]:
    """Makes the packaged model's tokenizer with another template."""
    tokenizer = load_tokenizer(str(fetch("smollm2-135m-instruct")))

    def make(template: str) -> Tokenizer:
        tokenizer.chat_template = ChatTemplate(template)
        return tokenizer

    return make


def counted(tokenizer: Tokenizer, ids: list[int], counts: list[bool]) -> list[str]:
    """The text of each run of tokens that count."""
    runs: list[list[int]] = []
    for place, (token, counts_too) in enumerate(zip(ids, counts, strict=True)):
        if counts_too:
            if place == 0 or not counts[place - 1]:
                runs.append([])
            runs[-1].append(token)
    return [tokenizer.decode(run) for run in runs]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, [" first <|im_end|> one<|im_end|>", "second\n<|im_end|>"]),
        (INST, [" first <|im_end|> one <|im_end|>", " second <|im_end|>"]),
        (STRICT, ["first <|im_end|> one<|im_end|>", "second<|im_end|>"]),
        (PLAIN, [" first <|im_end|> one", "second\n"]),
        (TWICE, [" first <|im_end|> one<|im_end|><|im_end|>", "second\n<|im_end|><|im_end|>"]),
    ],
)
def test_one_sequence_whose_answers_count(
    tokenizer: Callable[[str], Tokenizer], template: str, expected: list[str]
) -> None:
    made = tokenizer(template)
    [sequence] = mask_conversation(made, TURNS)
    assert counted(made, sequence.ids, sequence.counts) == expected
    # Each answer stands behind exactly what the model is given when it is asked.
    for number in (1, 3):
        prompt = made.encode_chat(TURNS[:number])
        assert sequence.ids[: len(prompt)] == prompt
        assert sequence.counts[len(prompt)]
        assert not sequence.counts[len(prompt) - 1]
    # The user's <|im_end|> is text, so it is no end: it is several tokens.
    ends = [i for i in sequence.ids if i in made.eos_ids]
    assert len(ends) == {CHATML: 4, INST: 2, STRICT: 4, PLAIN: 0, TWICE: 8}[template]


def test_the_packaged_models_own_template() -> None:
    tokenizer = load_tokenizer(str(fetch("smollm2-135m-instruct")))
    [sequence] = mask_conversation(tokenizer, [*TURNS, {"role": "user", "content": "unanswered"}])
    found = counted(tokenizer, sequence.ids, sequence.counts)
    assert found == [" first <|im_end|> one<|im_end|>", "second\n<|im_end|>"]
    assert "unanswered" not in tokenizer.decode(sequence.ids)
    assert tokenizer.decode(sequence.ids).startswith("<|im_start|>system\nYou are a helpful AI")


def test_turns_that_change_when_others_follow_have_sequences_of_their_own(
    tokenizer: Callable[[str], Tokenizer],
) -> None:
    made = tokenizer(THINKING)
    turns = [dict(turn) for turn in TURNS]
    turns[1]["content"] = "because</think>first"
    sequences = mask_conversation(made, turns)
    texts = [counted(made, s.ids, s.counts) for s in sequences]
    assert texts == [["because</think>first<|im_end|>"], ["second\n<|im_end|>"]]
    assert "because" not in made.decode(sequences[1].ids)


def test_a_template_that_does_not_go_on_from_its_prompt_is_refused(
    tokenizer: Callable[[str], Tokenizer],
) -> None:
    with pytest.raises(GroundupError, match=r"row 7: .* where the prompt has '<think>"):
        encode_examples([Example(7, tuple(TURNS))], tokenizer(OPENING), 100)
    with pytest.raises(ValueError, match="no message of the assistant"):
        mask_conversation(tokenizer(CHATML), TURNS[:1])


def test_a_text_counts_with_its_end(
    tokenizer: Callable[[str], Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tokenizer(CHATML)
    sequence = mask_text(made, "to be<|im_end|>")
    assert all(sequence.counts)
    assert made.decode(sequence.ids) == "to be<|im_end|><|endoftext|>"
    assert sequence.ids.count(made.id_of("<|im_end|>")) == 0
    monkeypatch.setattr(loss_mask, "END_OF_TEXT", ("<|im_end|>", "<|endoftext|>"))
    ends = mask_text(made, "").ids  # of several the smallest
    assert ends == [min(made.id_of(name) for name in ("<|im_end|>", "<|endoftext|>"))]


def test_long_sequences_are_cut_or_left_out(tokenizer: Callable[[str], Tokenizer]) -> None:
    made = tokenizer(CHATML)
    long = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "la " * 50})
    asked = ({"role": "user", "content": "hi " * 50}, {"role": "assistant", "content": "la"})
    encoded = encode_examples([Example(1, long), Example(2, asked), Example(3, tuple(TURNS))],
                              made, 45)  # fmt: skip
    assert (encoded.cut, encoded.left_out) == ([1], [2])
    assert [len(s.ids) for s in encoded.sequences] == [45, encoded_length(made)]
    whole = encode_examples([Example(3, tuple(TURNS))], made, encoded_length(made))
    assert whole.cut == []
    assert encode_examples([Example(4, text="hi there")], made, 1).left_out == [4]


def encoded_length(tokenizer: Tokenizer) -> int:
    [sequence] = mask_conversation(tokenizer, TURNS)
    return len(sequence.ids)
