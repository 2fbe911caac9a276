"""Likelihoods against `transformers`, and choices against hand-made cases."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from groundup.errors import GroundupError
from groundup.evaluation.likelihood import continuation_logprobs, encode_continuation
from groundup.evaluation.multiple_choice import (
    ChoiceQuestion,
    MultipleChoice,
    likeliest,
    read_choice_questions,
)
from groundup.evaluation.subject import load_subject
from groundup.evaluation.task import evaluate
from groundup.models.llama import Llama
from groundup.models.load_tokenizer import load_tokenizer

Models = tuple[Llama, LlamaForCausalLM]


def test_logprobs_are_those_of_transformers(models: Models) -> None:
    ours, theirs = models
    context, continuations = [5, 9, 30, 2], [[7], [8, 1, 44], [7, 7], [96, 0, 12, 3, 4]]
    found = continuation_logprobs(ours, context, continuations)
    for logprob, continuation in zip(found, continuations, strict=True):
        ids = torch.tensor([context + continuation])
        with torch.no_grad():
            logits = theirs(ids).logits[0].double().log_softmax(-1)
        expected = sum(
            float(logits[len(context) + i - 1, token]) for i, token in enumerate(continuation)
        )
        assert logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("context", "continuations", "message"),
    [
        ([], [[1]], "at least one token"),
        ([1], [[2], []], "at least one token"),
        ([1] * 600, [[2], [2, 3]], "602 tokens long and the model reads at most 600"),
    ],
)
def test_what_has_no_likelihood(
    models: Models, context: list[int], continuations: list[list[int]], message: str
) -> None:
    with pytest.raises(GroundupError, match=message):
        continuation_logprobs(models[0], context, continuations)


def test_the_longest_text_that_is_read(models: Models) -> None:
    assert len(continuation_logprobs(models[0], [1] * 600, [[2], [3]])) == 2


def test_a_continuation_is_encoded_as_it_follows(tiny_model: str) -> None:
    tokenizer = load_tokenizer(tiny_model)
    for context, continuation in (("The sky is", " blue"), ("The sky is ", "blue")):
        before, after = encode_continuation(tokenizer, context, continuation)
        assert tokenizer.decode(before) == "The sky is"
        assert tokenizer.decode(after) == " blue"
        assert before + after == tokenizer.encode("The sky is blue")
    before, after = encode_continuation(tokenizer, "", "blue")
    assert (len(before), tokenizer.decode(after)) == (1, "blue")


@pytest.mark.parametrize(
    ("logprobs", "choices", "plain", "by_character"),
    [
        ([-4.0, -6.0], ["ab", "abcdef"], 0, 1),  # -2 and -1 a character
        ([-4.0, -6.0], ["ab", "abc"], 0, 0),  # -2 and -2: the first of equals
        ([-9.0, -3.0, -5.0], ["a", "b", "cd"], 1, 2),
        ([-2.0, -6.0], ["é", "éé"], 0, 0),  # characters, not bytes
        ([-2.0, -5.0], ["é", "abc"], 0, 1),  # by bytes it would be the first
    ],
)
def test_likeliest(
    logprobs: list[float], choices: list[str], plain: int, by_character: int
) -> None:
    assert likeliest(logprobs, choices) == (plain, by_character)


def test_questions_are_read(tmp_path: Path) -> None:
    rows = [
        {"question": "1 + 1 =", "choices": ["1", "2", "3"], "answer": "2"},
        {"question": "1 + 2 =", "choices": ["1", "2", "3"], "answer": 2},
        {"question": "The sky is", "choices": ["red", "blue"], "answer": "b"},
    ]
    jsonl, csv = tmp_path / "q.jsonl", tmp_path / "q.csv"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows))
    csv.write_text(
        'question,choices,answer\nThe sky is,"[""red"", ""blue""]",1\n', encoding="utf-8"
    )
    assert [q.answer for q in read_choice_questions(jsonl)] == [1, 2, 1]
    assert read_choice_questions(csv) == [ChoiceQuestion("The sky is", ("red", "blue"), 1)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "a", "choices": ["b", "c"]}, "row 1 has question, choices: expected"),
        ({"question": "a", "choices": ["b"], "answer": 0}, "at least two choices"),
        ({"question": "a", "choices": ["b", " "], "answer": 0}, "none of them empty"),
        ({"question": "a", "choices": ["b", "c"], "answer": 2}, "the answer 2: expected one of"),
        ({"question": "a", "choices": ["b", "c"], "answer": -1}, "the answer -1"),
        ({"question": "a", "choices": ["b", "c"], "answer": "Z"}, "the answer 'Z'"),
    ],
)
def test_a_wrong_question_is_named(row: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(GroundupError, match=message):
        read_choice_questions(path)


def test_the_task_finds_what_the_model_finds_likely(tiny_model: str, tmp_path: Path) -> None:
    """Its answers are the arguments of the maximum, computed from whole forward passes."""
    subject = load_subject(tiny_model, dtype=torch.float32)
    questions = [("The sky is", ["blue", "green and yellow", "a"]), ("Two and two", ["4", "five"])]
    path = tmp_path / "q.jsonl"
    path.write_text(
        "".join(json.dumps({"question": q, "choices": c, "answer": 0}) + "\n" for q, c in questions)
    )
    task = MultipleChoice(path)
    records, _ = evaluate(subject, task, tmp_path / "out")
    for record, (question, choices) in zip(records, questions, strict=True):
        sums = []
        for choice in choices:
            ids = subject.tokenizer.encode(f"{question} {choice}")
            start = len(subject.tokenizer.encode(question))
            with torch.no_grad():
                logits = subject.model(torch.tensor([ids]))[0].double().log_softmax(-1)
            sums.append(sum(float(logits[i - 1, ids[i]]) for i in range(start, len(ids))))
        assert [float(x) for x in record.note.split(", ")] == pytest.approx(sums, abs=2e-3)
        assert record.scores["acc"] == (max(sums) == sums[0])
        means = [s / len(c) for s, c in zip(sums, choices, strict=True)]
        assert record.scores["acc_norm"] == (max(means) == means[0])
