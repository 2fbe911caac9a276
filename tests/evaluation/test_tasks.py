"""Tasks on a small random model: answers, resuming, figures, the card and the command."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from typer.testing import CliRunner

from groundup.cli import app
from groundup.engine.engine import Engine
from groundup.engine.generate import generate, generate_uncached
from groundup.engine.request import Request, Token
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.evaluation.generation import GenerationTask, Question, Verdict, cut
from groundup.evaluation.gsm8k import gsm8k
from groundup.evaluation.likelihood import continuation_logprobs
from groundup.evaluation.model_card import CardData, ModelCard, write_model_card
from groundup.evaluation.one_by_one import OneByOne
from groundup.evaluation.perplexity import perplexity
from groundup.evaluation.record import Record, RecordLog
from groundup.evaluation.short_answers import short_answers
from groundup.evaluation.subject import Subject, load_subject
from groundup.evaluation.summary import Comparison, Estimate, compare, estimate
from groundup.evaluation.task import Score, evaluate, mean_scores
from groundup.evaluation.text_perplexity import TextPerplexity
from groundup.models.language_model import LanguageModel
from groundup.models.llama import Llama
from groundup.tuning.adapt import adapt
from groundup.tuning.adapter_config import AdapterConfig, Method
from groundup.tuning.adapter_folder import save_adapter


@pytest.fixture(scope="module", name="subject")
def subject_fixture(tiny_model: str) -> Subject:
    return load_subject(tiny_model, dtype=torch.float32)


def question(number: int) -> Question:
    text = f"Say {number}"
    return Question(str(number), ({"role": "user", "content": text},), text, (str(number),))


def writing(count: int, **changes: Any) -> GenerationTask:
    """A task that scores the answer's length."""
    task = GenerationTask(
        "writing",
        [question(n) for n in range(count)],
        lambda asked, answer, chat: Verdict({"length": float(len(answer))}),
        "0" * 64,
        max_tokens=12,
    )
    return replace(task, **changes)


def greedy(subject: Subject, ids: list[int], tokens: int) -> str:
    written = generate(
        subject.model, ids, SamplingParams(), stop_ids=subject.tokenizer.eos_ids, max_tokens=tokens
    )
    stream = subject.tokenizer.stream()
    return "".join(stream.push(token) for token in written) + stream.finish()


@pytest.mark.parametrize("chat", [True, False])
def test_answers_in_a_batch_are_those_written_alone(
    subject: Subject, tmp_path: Path, chat: bool
) -> None:
    task = writing(5, chat=chat)
    records, _ = evaluate(subject, task, tmp_path)
    assert [r.item for r in records] == ["0", "1", "2", "3", "4"]
    for record, asked in zip(records, task.questions, strict=True):
        tokenizer = subject.tokenizer
        ids = tokenizer.encode_chat(asked.messages) if chat else tokenizer.encode(asked.text)
        assert record.answer == greedy(subject, ids, 12)
        assert record.scores == {"length": len(record.answer)}
    assert not subject.engine.busy


def test_a_plain_answer_ends_before_a_stop(subject: Subject, tmp_path: Path) -> None:
    whole = evaluate(subject, writing(3, chat=False), tmp_path / "whole")[0]
    stop = whole[1].answer[3:5]
    records = evaluate(subject, writing(3, chat=False, stops=(stop,)), tmp_path / "cut")[0]
    for record, before in zip(records, whole, strict=True):
        assert record.answer == before.answer.partition(stop)[0]
    assert len(records[1].answer) <= 3
    chats = evaluate(subject, writing(3), tmp_path / "chats")[0]
    stop = chats[1].answer[3:5]  # a chat ends by its own token alone
    assert evaluate(subject, writing(3, stops=(stop,)), tmp_path / "not cut")[0] == chats
    assert cut("a\ndef b\nclass c", ("\nclass", "\ndef")) == "a"
    assert not subject.engine.busy


def test_samples_differ_and_a_seed_repeats_them(subject: Subject, tmp_path: Path) -> None:
    task = writing(2, samples=3, temperature=1.5, seed=7)
    first = [r.answer for r in evaluate(subject, task, tmp_path / "a")[0]]
    assert len(set(first)) > 3
    assert [r.answer for r in evaluate(subject, task, tmp_path / "b")[0]] == first


def test_what_was_stopped_goes_on_and_asks_nothing_twice(subject: Subject, tmp_path: Path) -> None:
    whole = evaluate(subject, writing(6), tmp_path / "whole")[0]
    asked: list[str] = []

    def judge(question: Question, answer: str, chat: bool) -> Verdict:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(question.id)
        return Verdict({"length": float(len(answer))})

    with pytest.raises(KeyboardInterrupt):
        evaluate(subject, writing(6, judge=judge), tmp_path / "part")
    assert not subject.engine.busy
    (file,) = (tmp_path / "part").iterdir()
    assert len(file.read_text().splitlines()) == 3  # the settings, and two answers
    with file.open("a") as torn:
        torn.write('{"item": "5", "sam')  # as a process leaves it that was killed
    told: list[tuple[int, int]] = []
    later: list[str] = []

    def go_on(question: Question, answer: str, chat: bool) -> Verdict:
        later.append(question.id)
        return Verdict({"length": float(len(answer))})

    records, path = evaluate(
        subject, writing(6, judge=go_on), tmp_path / "part", lambda *now: told.append(now)
    )
    assert (path, records) == (file, whole)
    assert sorted(asked + later) == ["0", "1", "2", "3", "4", "5"]
    assert (told[0], told[-1]) == ((2, 6), (6, 6))
    evaluate(subject, writing(6, judge=judge), tmp_path / "part")  # all is there: nothing is judged
    evaluate(subject, writing(6, max_tokens=5), tmp_path / "part")
    assert len(list((tmp_path / "part").iterdir())) == 2  # other settings, another file


def test_a_log_of_something_else_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    RecordLog(path, {"a": 1}).close()
    with pytest.raises(GroundupError, match="answers of another evaluation"):
        RecordLog(path, {"a": 2})
    with path.open("a") as file:
        file.write("no JSON\n")
    with pytest.raises(GroundupError, match="is damaged"):
        RecordLog(path, {"a": 1})
    with pytest.raises(GroundupError, match="cannot write"):
        RecordLog(path / "below", {})


def test_a_prompt_that_is_too_long_is_named(forgetful_model: str, tmp_path: Path) -> None:
    subject = load_subject(forgetful_model, dtype=torch.float32)
    asked = Question("17", ({"role": "user", "content": "long " * 200},), "", ("",))
    with pytest.raises(GroundupError, match="writing, question 17: the prompt is"):
        evaluate(subject, writing(1, questions=[question(1), asked]), tmp_path)
    assert not subject.engine.busy


def test_one_by_one_tells_what_the_engine_tells(subject: Subject) -> None:
    prompt = tuple(subject.tokenizer.encode("Say 1"))

    def told(by: Engine | OneByOne, stop_ids: frozenset[int] = frozenset()) -> list[Token]:
        by.add(7, Request(prompt, max_tokens=6, stop_ids=stop_ids))
        found = []
        while by.busy:
            found += [Token(x.id, finish_reason=x.finish_reason) for _, x in by.step()]
        return found

    whole = told(subject.engine)
    assert [token.finish_reason for token in whole] == [None] * 5 + ["length"]
    assert told(OneByOne(subject.model)) == whole
    stop_ids = frozenset({whole[3].id})
    stopped = told(subject.engine, stop_ids)
    assert stopped[-1] == Token(whole[3].id, finish_reason="stop")
    assert told(OneByOne(subject.model), stop_ids) == stopped


def test_an_adapter_is_evaluated_as_the_model_into_which_it_is_merged(
    tiny_model: str, tmp_path: Path
) -> None:
    folder, text = tmp_path / "adapter", tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog.")
    merged = load_subject(tiny_model, dtype=torch.float32)
    assert isinstance(merged.model, Llama)
    adapted = adapt(merged.model, AdapterConfig(method="lora", rank=4, alpha=64), seed=0)
    for name, parameter in adapted.trained_parameters().items():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    save_adapter(folder, adapted)
    adapted.merge()
    subject = load_subject(tiny_model, adapter=folder, dtype=torch.float32)
    bare = load_subject(tiny_model, dtype=torch.float32)
    assert (subject.name, subject.sha256 == bare.sha256) == ("tiny.gguf+adapter", False)
    for task in (writing(3), TextPerplexity(text)):
        out = tmp_path / task.name
        with_it, without = evaluate(subject, task, out)[0], evaluate(bare, task, out)[0]
        wanted = evaluate(merged, task, tmp_path / "merged")[0]
        assert [r.answer for r in with_it] == [r.answer for r in wanted]
        assert [r.scores for r in with_it] == [pytest.approx(r.scores, abs=1e-4) for r in wanted]
        assert [r.scores for r in with_it] != [r.scores for r in without]
    with pytest.raises(GroundupError, match="there is no adapter"):
        load_subject(tiny_model, adapter=tmp_path / "absent")


@pytest.mark.parametrize("method", ["dora", "ia3", "prefix", "prompt"])
def test_adapters_that_the_engine_does_not_serve(
    method: Method, tiny_model: str, tmp_path: Path
) -> None:
    """Answers, choices and perplexity are the adapted model's own."""
    folder = tmp_path / "adapter"
    bare = load_subject(tiny_model, dtype=torch.float32)
    adapted = adapt(cast(Llama, bare.model), AdapterConfig(method, virtual_tokens=5))
    for name, parameter in adapted.trained_parameters().items():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    save_adapter(folder, adapted)
    subject = load_subject(tiny_model, adapter=folder, dtype=torch.float32)
    records, _ = evaluate(subject, writing(2), tmp_path)
    own = cast(LanguageModel, adapted)
    for number, record in enumerate(records):
        prompt = subject.tokenizer.encode_chat(question(number).messages)
        ids = generate_uncached(own, prompt, SamplingParams(), 12)
        stop = next((i for i, x in enumerate(ids) if x in subject.tokenizer.eos_ids), 12)
        assert record.answer == subject.tokenizer.decode(ids[:stop], skip_special=True)
    context, further = prompt[:7], [prompt[7:10], prompt[10:11], prompt[3:9]]
    with torch.no_grad():
        whole = [adapted(torch.tensor([[*context, *ids]]))[0].log_softmax(1) for ids in further]
    expected = [
        sum(scores[6 + place, token].item() for place, token in enumerate(ids))
        for scores, ids in zip(whole, further, strict=True)
    ]
    with subject.adapted() as model:
        assert continuation_logprobs(model, context, further) == pytest.approx(expected, abs=1e-3)
        found = perplexity(model, [*context, *further[0]], context=9, stride=9)
        own_loss = -sum(whole[0][i, t].item() for i, t in enumerate([*context, *further[0]][1:]))
        assert found.nats == pytest.approx(own_loss, abs=1e-3)
        if adapted.virtual_tokens:
            with pytest.raises(GroundupError, match=r"reads at most 8,187"):
                perplexity(model, prompt, context=8188, stride=1)
    assert evaluate(subject, writing(2), tmp_path)[0] == records  # nothing is asked again


def test_short_answers_of_every_form(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I"}]
    rows: list[object] = [
        {"question": "Who?", "answers": ["Ann", "Anna"], "context": "Anna came."},
        {"instruction": "Who came?", "input": "Anna came.", "output": "Anna"},
        {"messages": turns},
    ]
    expected = [("Anna came.\n\nWho?", ("Ann", "Anna")), ("Who came?\n\nAnna came.", ("Anna",)),
                ("Who?", ("I",))]  # fmt: skip
    for number, (row, (prompt, answers)) in enumerate(zip(rows, expected, strict=True)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(row))
        task = short_answers(path)
        assert task.questions[0].messages[-1]["content"] == prompt
        assert task.questions[0].text == f"User: {prompt}\nAssistant:"
        assert task.questions[0].expected == answers
    verdict = task.judge(replace(task.questions[0], expected=("the cat sat",)), "A cat.", True)
    assert verdict.scores == {"exact_match": 0.0, "f1": pytest.approx(2 / 3)}
    (tmp_path / "text.jsonl").write_text('{"text": "x"}')
    with pytest.raises(GroundupError, match="expected questions with answers"):
        short_answers(tmp_path / "text.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"question": "x", "answers": "y"}')
    with pytest.raises(GroundupError, match="row 1: expected a question and answers"):
        short_answers(tmp_path / "bad.jsonl")


def test_perplexity_of_documents(subject: Subject, tmp_path: Path) -> None:
    texts = ["The quick brown fox jumps over the lazy dog. " * 3, "Two and two are four, said é."]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    task = TextPerplexity(path, context=16, stride=8)
    records, _ = evaluate(subject, task, tmp_path / "out")
    found = [
        perplexity(subject.model, subject.tokenizer.encode(t), context=16, stride=8) for t in texts
    ]
    by_token, by_byte = estimate(task, records)
    assert by_token.value == pytest.approx(
        math.exp(sum(f.nats for f in found) / sum(f.tokens for f in found))
    )
    size = sum(len(text.encode()) for text in texts)
    assert by_byte.value == pytest.approx(sum(f.nats for f in found) / math.log(2) / size)
    assert by_token.low is not None
    assert by_token.high is not None
    single = estimate(replace(task, limit=1), records[:1])[0]
    assert single.low is None
    assert single.value == pytest.approx(found[0].value)
    (tmp_path / "one.txt").write_text(texts[0])
    assert TextPerplexity(tmp_path / "one.txt").documents == texts[:1]


@dataclass(frozen=True)
class Fixed:
    """A task whose records are given."""

    name: str = "fixed"
    settings: Any = None
    wanted: Sequence[tuple[str, int]] = ()

    def run(self, subject: Subject, wanted: Sequence[tuple[str, int]]) -> Iterator[Record]:
        yield from ()

    def scores(self, records: Sequence[Record]) -> dict[str, Score]:
        return mean_scores(records)


def records(metric: str, values: Sequence[float], weights: Sequence[float] = ()) -> list[Record]:
    weights = weights or [1.0] * len(values)
    return [
        Record(str(i), 0, "asked", "said", "", {metric: value}, {metric: weight})
        for i, (value, weight) in enumerate(zip(values, weights, strict=True))
    ]


def test_shares_have_wilsons_interval_and_mcnemars_test() -> None:
    first, second = [1, 0, 0, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    (found,) = compare(Fixed(), records("acc", first), records("acc", second))
    assert (found.first.value, found.second.value) == (0.2, 0.6)
    assert found.first.low == pytest.approx(0.0567, abs=1e-4)  # Wilson, 2 of 10
    assert found.first.high == pytest.approx(0.5098, abs=1e-4)
    assert found.difference == pytest.approx(0.4)
    assert found.p == pytest.approx(2 * (1 + 6) / 2**6)  # 1 against 5
    assert found.low is not None
    assert found.high is not None
    assert -0.2 < found.low < 0.4 < found.high < 0.9
    with pytest.raises(ValueError, match="not asked the same"):
        compare(Fixed(), records("acc", first), records("acc", second)[1:])


def test_the_difference_is_paired() -> None:
    """Items that are hard for both widen neither: each gains 0.1 exactly."""
    first = [0.05 * i for i in range(18)]
    second = [value + 0.1 for value in first]
    (found,) = compare(Fixed(), records("f1", first), records("f1", second))
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.p is None


def test_perplexities_are_compared_as_quotients_and_only_over_the_same_tokens() -> None:
    tokens = [10.0, 30.0]
    before, after = (
        records("perplexity", [1.0, 2.0], tokens),
        records("perplexity", [1.5, 2.0], tokens),
    )
    (found,) = compare(Fixed(), before, after)
    assert found.first.value == pytest.approx(math.exp(70 / 40))
    assert found.difference == pytest.approx(math.exp(5 / 40) - 1)
    (other,) = compare(Fixed(), before, records("perplexity", [1.5, 2.0], [9.0, 30.0]))
    assert (other.difference, other.p) == (None, None)


def test_the_interval_of_a_difference_weighs_items() -> None:
    """The item that gains has nearly all tokens: where it is drawn, the mean is its gain."""
    tokens = [10_000.0, *[1.0] * 9]
    before, after = (records("perplexity", [v, *[1.0] * 9], tokens) for v in (2.0, 1.0))
    (found,) = compare(Fixed(), before, after)
    assert found.low == pytest.approx(math.exp(-1) - 1, abs=1e-3)
    assert found.high == pytest.approx(0)


def test_samples_of_an_item_count_as_one_item() -> None:
    several = [Record("0", i, "", "", "", {"acc": float(i == 0)}) for i in range(4)]
    several += [Record("1", i, "", "", "", {"acc": 1.0}) for i in range(4)]
    (found,) = estimate(Fixed(), several)
    assert (found.items, found.value) == (2, 0.625)


def test_the_card_holds_all_and_nobody_writes_in_it() -> None:
    results: list[Estimate | Comparison] = [
        *estimate(Fixed("held out"), records("acc", [1, 0, 1, 1])),
        *compare(Fixed(), records("acc", [0, 0, 0, 1]), records("acc", [1, 1, 0, 1])),
        *compare(Fixed(), records("perplexity", [1.0, 2.0]), records("perplexity", [0.9, 1.8])),
    ]
    card = ModelCard(
        name="haiku\n# Injected | <b>x</b>",
        base="smollm2",
        base_sha256="ab" * 32,
        method="LoRA",
        configuration={"rank": 8, "targets": "q|v"},
        seed=1234,
        data=[
            CardData("train.jsonl", "cd" * 32, 1000),
            CardData("test.jsonl", "ef" * 32, 200, "evaluation"),
        ],
        results=results,
        groundup="0.1.0",
    )
    text = write_model_card(card)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [
        "# Model card: haiku # Injected \\| \\<b\\>x\\</b\\>",
        "## Model details", "## Intended use",
        "## Factors", "## Metrics", "## Evaluation data", "## Training data",
        "## Quantitative analyses", "## Ethical considerations", "## Caveats and recommendations",
        "## Configuration",
    ]  # fmt: skip
    for held in (
        "ab" * 32,
        "cd" * 32,
        "ef" * 32,
        "Seed: 1234",
        "| rank | 8 |",
        "| targets | q\\|v |",
    ):
        assert held in text
    assert "| held out | acc | 4 | 75.0 % | 30.1 % to 95.4 % |" in text
    assert "| fixed | acc | 4 | 25.0 % | 75.0 % | +50.0 |" in text
    assert "| fixed | perplexity | 2 | 4.482 | 3.857 | -13.9 % |" in text
    training = text.partition("## Training data")[2].partition("## Quantitative")[0]
    assert "train.jsonl" in training
    assert "test.jsonl" not in training
    bare = write_model_card(replace(card, results=[], data=[], configuration={}))
    assert "Nothing was measured." in bare
    assert bare.count("Not stated") == 4


@pytest.fixture(name="problems")
def problems_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"{n}?", "answer": f"#### {n}"}) + "\n" for n in range(40))
    )
    return path


def test_the_command_compares_two_models(
    tiny_model: str, forgetful_model: str, problems: Path, tmp_path: Path
) -> None:
    arguments = ["eval", tiny_model, "--against", forgetful_model, "--task", "gsm8k"]
    arguments += ["--data", str(problems), "--limit", "3", "--max-tokens", "8"]
    arguments += ["--out", str(tmp_path / "out"), "--dtype", "float32"]
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    whole = json.loads(found.stdout)
    assert whole["models"] == [forgetful_model, tiny_model]
    assert [f["first"]["metric"] for f in whole["figures"]] == ["strict", "flexible"]
    assert [f["difference"] for f in whole["figures"]] == [0.0, 0.0]  # the weights are the same
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}).stdout
    assert "difference" in shown
    assert "expected: 0" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "gsm8k"], "the task gsm8k needs a file: give --data FILE"),
        (["--task", "gsm8k", "--data", "absent"], "there is no file absent"),
        (["--task", "human_eval", "--dtype", "int3"], "--dtype is 'int3'"),
    ],
)
def test_the_command_says_what_is_missing(arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["eval", "absent-model", *arguments])
    assert isinstance(found.exception, GroundupError)
    assert message in str(found.exception)


def test_ctrl_c_keeps_answers_and_the_same_command_goes_on(
    tiny_model: str, problems: Path, tmp_path: Path, environment: Callable[[], dict[str, str]]
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "groundup", "eval", tiny_model, "--task", "gsm8k"]
    command += ["--data", str(problems), "--max-tokens", "60", "--out", str(out), "--json"]
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if [file for file in out.glob("*") if len(file.read_bytes().splitlines()) > 1]:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was quicker than the signal")
    assert (process.returncode, stdout) == (130, "")
    assert "stopped; the same command goes on from here" in stderr
    assert "Traceback" not in stderr
    (file,) = out.iterdir()
    kept = file.read_text().splitlines()
    assert 1 < len(kept) < 41
    done = CliRunner().invoke(app, [*command[3:]])
    assert done.exit_code == 0
    assert file.read_text().splitlines()[: len(kept)] == kept
    assert gsm8k(problems).settings["data"] in kept[0]
    assert len(file.read_text().splitlines()) == 41
