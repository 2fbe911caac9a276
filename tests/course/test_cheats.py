"""Whatever a learner hands in, the grader says what is wrong with it, and stays whole.

Each file in ``cheats`` is an ``attention.py`` that must not pass; each in ``cheats/honest`` must.
"""

import gc
import os
import select
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

import groundup.models.llama  # noqa: F401 (the grader's process has the reference already: the worst case)
from groundup.course.grader import child
from groundup.course.grader.judge import Start, judge
from groundup.course.grader.result import CheckResult
from groundup.course.parts.table import PARTS

CHEATS = Path(__file__).parent / "cheats"
HONEST = CHEATS / "honest"
CHECKS = child.check_names(child.load_checks("attention"))

# What the first result says, where it is the only one.
FATAL = {
    "close_descriptors": "closes a file that is not its own",
    "exit_process": "ended its process (exit status 0) before the check was over",
    "exit_process_at_import": "ended its process (exit status 0) before the check was over",
    "exit_program_at_import": "attention.py ends the program (sys.exit) when it is imported",
    "fake_result": "wrote to the grader's own channel",
    "fake_result_and_go_on": "wrote to the grader's own channel",
    "hang": "1 seconds\n  it hung at line 5 of attention.py, in attention: while True: n +=",
    "hang_at_import": "it hung at line 4 of attention.py, in <module>: while True: n += 1",
    "hang_in_c": "it hung at line 4 of attention.py, in attention: return 7 ** (10**9)",
    "hang_in_matmul": "in attention: return torch.linalg.matrix_power(",
    "hang_in_sleep": "it hung at line 7 of attention.py, in attention: time.sleep(600)",
    "hang_that_swallows": "it hung at line 6 of attention.py, in attention: q = q + 1",
    "hang_unwatched": "did not finish within 1 seconds",
    "import_missing": "No module named 'no_such_package'\n  at line 3 of attention.py",
    "raise_at_import": "fails when it is imported: KeyError: 'scale'\n  at line 3 of attention.py",
    "reference_of_its_package": "module 'groundup.models' has no attribute 'attention'",
    "reference_of_sys_modules": "KeyError: 'groundup.models.attention'",
    "signal_itself": "was ended by signal 40",
}

# What every result says, of the first SEEN checks: the others would only take the same way again.
SEEN = 3
ALWAYS = {
    "exit_program": "ends the program (sys.exit)\n  at line 7 of attention.py",
    "fork": "starts another process",
    "fused": "calls torch's scaled_dot_product_attention",
    "fused_below_modes": "calls torch's scaled_dot_product_attention",
    "fused_if_allowed": "calls torch's scaled_dot_product_attention",
    "fused_in_a_thread": "calls torch's scaled_dot_product_attention",
    "fused_in_torchscript": "calls torch's scaled_dot_product_attention",
    "fused_kernel_of_aten": "calls torch's _scaled_dot_product_flash_attention_for_cpu",
    "fused_module": "calls torch's multi_head_attention_forward",
    "fused_of_aten": "calls torch's scaled_dot_product_attention",
    "fused_of_c": "calls torch's scaled_dot_product_attention",
    "fused_without_grad": "calls torch's scaled_dot_product_attention",
    "kill_parent": "sends a signal to a process",
    "memory_by_and_by": "wants more memory than 2 GiB",
    "memory_of_numpy": "wants more memory than 2 GiB",
    "memory_of_python": "wants more memory than 2 GiB",
    "memory_of_torch": "wants more memory than 2 GiB",
    "pool": "starts another process",
    "print_a_lot": "prints more than 16 MiB",
    "raise_at_length": "TypeError: xxx",
    "raise_keyboard_interrupt": "raises KeyboardInterrupt\n  at line 4 of attention.py",
    "raise_unprintable": "the code raises ",
    "recursion": "RecursionError",
    "reference_by_llama": "imports the reference groundup.models.attention",
    "reference_from_import": "imports the reference groundup.models.attention",
    "reference_if_allowed": "imports the reference groundup.models.attention",
    "reference_import": "imports the reference groundup.models.attention",
    "reference_importlib": "imports the reference groundup.models.attention",
    "reference_of_its_loader": "imports the reference groundup.models.attention",
    "reference_read_by_copy": "reads the reference solution",
    "reference_read_by_linecache": "reads the reference solution",
    "reference_read_by_link": "reads the reference solution",
    "reference_read_by_loader": "reads the reference solution",
    "reference_read_by_open": "reads the reference solution",
    "reference_read_by_os": "reads the reference solution",
    "reference_read_by_path": "reads the reference solution",
    "refused_by_torch": "NotImplementedError: Cannot copy out of meta tensor",
    "remove": "changes files or folders",
    "remove_tree": "changes files or folders",
    "replace_allclose": "replaces torch.allclose",
    "replace_assert_close": "replaces torch.testing.assert_close",
    "replace_builtin": "replaces builtins.abs",
    "replace_comparison": "imports the grader",
    "replace_comparison_in_the_check": "replaces checks.assert_close",
    "replace_isclose": "replaces numpy.isclose",
    "replace_oracle": "replaces torch.nn.functional.scaled_dot_product_attention",
    "replace_tensor_eq": "replaces torch.Tensor.__eq__",
    "replace_tensor_methods": "replaces torch.Tensor.numpy",
    "search_memory": "searches the memory of the process",
    "shell": "starts another process",
    "socket": "opens a network connection",
    "subprocess": "starts another process",
    "write": "notes.txt: a part has no need to",
}

# What the first failed check says, and which checks pass, because they look at something else.
BAD_INPUT = {"check_bad_input"}
ALL_BUT = set(CHECKS).difference
SOME = {
    "cache_by_address": ("after v changed, the output differs at [0, 0, 0, 0]",
                         ALL_BUT({"check_new_values_in_the_same_tensor"})),
    "cache_by_id": ("after v changed, the output differs at [0, 0, 0, 0]",
                    ALL_BUT({"check_new_values_in_the_same_tensor"})),
    "change_k": ("the input k was changed at [0, 0, 0, 0], from 0.203585 to 0", BAD_INPUT),
    "change_q": ("the input q was changed at [0, 0, 0, 0]", BAD_INPUT),
    "change_q_by_numpy": ("the input q was changed at [0, 0, 0, 0]",
                          {"check_bfloat16", "check_gradients", "check_bad_input"}),
    "change_v_data": ("the input v was changed at [0, 0, 0, 0]", BAD_INPUT),
    "no_gradient": ("the gradient of v is all zeros", ALL_BUT({"check_gradients"})),
    "print_report": ("the output is all zeros: expected -1.9052 at [0, 0, 0, 0]", set()),
    "return_agreeable": ("the output is of type Agreeable: expected a tensor", set()),
    "return_array": ("the output is of type ndarray: expected a tensor", BAD_INPUT),
    "return_inputs": ("differs at [0, 0, 0, 0]: got -1.12584, expected -1.9052 (896 of 896", set()),
    "return_nan": ("the output is all NaN", set()),
    "return_none": ("the output is None: expected a tensor of shape (2, 4, 7, 16)", set()),
    "return_other_dtype": ("has dtype torch.float16: expected torch.float32", BAD_INPUT),
    "return_other_shape": ("has shape (2, 7, 4, 16): expected (2, 4, 7, 16)", BAD_INPUT),
    "return_zeros": ("the output is all zeros", set()),
    "switch_on_a_mode": ("the output is all zeros", set()),
}  # fmt: skip

SIGNATURE = "expected the function attention(q, k, v, *, causal=True)"
BROKEN = {
    "syntax error": (b"def attention(q, k, v:\n    pass\n", "was never closed\n  at line 1: def"),
    "indentation": (b"def attention():\nreturn 1\n", "expected an indented block"),
    "null bytes": (b"x = 1\x00\n", "is not valid Python: source code string cannot contain null"),
    "Latin-1": ("x = 'é'\n".encode("latin-1"), "is not valid Python: (unicode error)"),
    "empty": (b"", f"does not define attention: {SIGNATURE}"),
    "another name": (b"def attend(q, k, v, *, causal=True): ...\n", "does not define attention"),
    "no causal": (b"def attention(q, k, v): ...\n", f"signature attention(q, k, v): {SIGNATURE}"),
    "positional": (b"def attention(q, k, v, causal=True): ...\n", f"causal=True): {SIGNATURE}"),
    "other default": (b"def attention(q, k, v, *, causal=False): ...\n", f"False): {SIGNATURE}"),
    "a class": (b"class attention: ...\n", "should be the function attention(q, k, v, *, causal="),
    "a number": (b"attention = 5\n", "should be the function attention(q, k, v, *, causal=True), "
                                     "and is 5"),
}  # fmt: skip


CONSTANTS = {
    "missing": ("GPT2, CL100K", "OTHER, CL100K", "does not define GPT2: expected the constant 0"),
    "another value": ("range(6)", "range(1, 7)", "BERT is 5: expected the constant 4"),
    "another type": ("range(6)", "'012345'", "BERT is '4': expected the constant 4"),
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_constants_are_part_of_what_is_expected(case: str, tmp_path: Path) -> None:
    part = PARTS["pre-tokenization"]
    file = tmp_path / f"{part.stem}.py"
    right, wrong, words = CONSTANTS[case]
    file.write_text(part.reference.read_text("utf-8").replace(right, wrong, 1), "utf-8")
    (result,) = judge(part.id, file)
    assert (result.status, words in result.message) == ("fatal", True), result.message


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What other files' tests left is neither looked through nor copied again for each process."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The processes that the grader starts; none, and nothing of theirs, is there afterwards."""
    started: list[int] = []
    fork = os.fork

    def recording_fork() -> int:
        pid = fork()
        started.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", recording_fork)
    gc.collect()  # else what an earlier test left may close while this one runs, and hide a leak
    descriptors = len(list(Path("/dev/fd").iterdir()))
    yield started
    assert started
    assert len(list(Path("/dev/fd").iterdir())) <= descriptors
    for pid in started:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    deadline = time.monotonic() + 10
    while (running := set(started) & sessions()) and time.monotonic() < deadline:
        time.sleep(0.01)  # what has been killed takes a moment to go
    assert not running


def sessions() -> set[int]:
    """The sessions of all processes that are not zombies."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if state != "Z":
            found.add(int(session))
    return found


def results(
    cheat: Path,
    folder: Path,
    *,
    seconds: float = 20.0,
    start: Start = "fork",
    count: int | None = None,
) -> Iterator[CheckResult]:
    """Of (``count``) checks on a copy of the file in an empty folder, which must stay as it is."""
    file = folder / "attention.py"
    shutil.copy(cheat, file)
    yield from islice(judge("attention", file, seconds=seconds, start=start), count)
    assert [path.name for path in folder.iterdir()] == ["attention.py"]
    assert file.read_bytes() == cheat.read_bytes()


def test_every_cheat_is_expected_to_fail_somehow() -> None:
    expected = [*FATAL, *ALWAYS, *SOME]
    assert sorted(expected) == sorted(path.stem for path in CHEATS.glob("*.py"))


@pytest.mark.parametrize("name", FATAL)
def test_nothing_is_checked_after_a_hang_or_an_end(
    name: str, tmp_path: Path, processes: list[int]
) -> None:
    found = list(results(CHEATS / f"{name}.py", tmp_path, seconds=1 if "hang" in name else 20))
    assert [(result.check, result.status) for result in found] == [(CHECKS[0], "fatal")]
    assert FATAL[name] in found[0].message


@pytest.mark.parametrize("name", ALWAYS)
def test_a_forbidden_act_fails_every_check(name: str, tmp_path: Path, processes: list[int]) -> None:
    found = list(results(CHEATS / f"{name}.py", tmp_path, count=SEEN))
    assert [(r.check, r.status) for r in found] == [(check, "failed") for check in CHECKS[:SEEN]]
    assert [result.message for result in found if ALWAYS[name] not in result.message] == []


@pytest.mark.parametrize("name", SOME)
def test_a_wrong_result_fails_the_checks_that_look_at_it(
    name: str, tmp_path: Path, processes: list[int]
) -> None:
    words, passing = SOME[name]
    found = list(results(CHEATS / f"{name}.py", tmp_path))
    assert [result.check for result in found] == CHECKS
    assert {result.check for result in found if result.passed} == passing
    assert words in next(result.message for result in found if not result.passed)


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_used_is_described(case: str, tmp_path: Path) -> None:
    source, words = BROKEN[case]
    file = tmp_path / "attention.py"
    file.write_bytes(source)
    found = list(judge("attention", file))
    assert [(result.check, result.status) for result in found] == [(CHECKS[0], "fatal")]
    assert words in found[0].message


def test_a_file_that_is_not_there_is_described(tmp_path: Path) -> None:
    found = list(judge("attention", tmp_path / "attention.py"))
    assert [(r.status, r.message) for r in found] == [
        ("fatal", "attention.py cannot be read: No such file or directory")
    ]


@pytest.mark.parametrize("name", [path.stem for path in HONEST.glob("*.py")])
def test_an_honest_solution_passes_every_check_in_order(
    name: str, tmp_path: Path, processes: list[int]
) -> None:
    # What Numba compiles has no gradient, and each process compiles it anew.
    count = 1 if name == "compiled" else len(CHECKS)
    found = list(results(HONEST / f"{name}.py", tmp_path, seconds=60, count=count))
    assert [(r.check, r.message) for r in found if not r.passed] == []
    assert [r.check for r in found] == CHECKS[:count]


def test_what_is_printed_is_shown(tmp_path: Path) -> None:
    first = next(results(HONEST / "debugging.py", tmp_path))
    assert first.printed == "shape of q: (2, 4, 7, 16)\nno newline"
    fake = next(results(CHEATS / "print_report.py", tmp_path))
    assert fake.printed.count('"status": "passed"') == 2
    endless = next(results(CHEATS / "print_a_lot.py", tmp_path))
    assert endless.printed == "x" * 4000


def test_descriptors_of_the_grader_are_not_inherited(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        list(results(CHEATS / "fake_result.py", tmp_path))
        assert select.select([read_end], [], [], 0)[0] == []
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_hang_is_found_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "Übung 1 (日本)"
    folder.mkdir()
    found = list(results(CHEATS / "hang.py", folder, seconds=1))
    assert "it hung at line 5" in found[0].message


def test_a_new_interpreter_for_each_check_finds_the_same(tmp_path: Path) -> None:
    for cheat in ("fake_result", "honest/debugging"):
        file = CHEATS / f"{cheat}.py"
        spawned = next(results(file, tmp_path, start="spawn"))
        forked = next(results(file, tmp_path))
        assert spawned.to_json() | {"seconds": 0} == forked.to_json() | {"seconds": 0}


def test_a_new_interpreter_that_hangs_is_ended(tmp_path: Path) -> None:
    found = list(results(CHEATS / "hang.py", tmp_path, seconds=1, start="spawn"))
    assert [result.status for result in found] == ["fatal"]
    assert "it hung at line 5 of attention.py" in found[0].message


def test_checking_stops_when_nobody_waits(tmp_path: Path, processes: list[int]) -> None:
    shutil.copy(CHEATS / "hang_unwatched.py", tmp_path / "attention.py")
    start = time.monotonic()
    waiting = iter([False, False, True])
    found = list(judge("attention", tmp_path / "attention.py", seconds=60,
                       gone=lambda: next(waiting, True)))  # fmt: skip
    assert time.monotonic() - start < 30
    assert [result.status for result in found] == ["fatal"]


def test_checking_stops_when_the_results_are_dropped(tmp_path: Path, processes: list[int]) -> None:
    shutil.copy(HONEST / "short.py", tmp_path / "attention.py")
    found = judge("attention", tmp_path / "attention.py")
    assert next(found).passed
    found.close()  # type: ignore[attr-defined]
    assert len(processes) < len(CHECKS)


def with_checks(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    checks = ModuleType("checks")
    exec(source, vars(checks))
    monkeypatch.setattr(child, "load_checks", lambda part_id: checks)


def test_a_check_that_does_not_use_the_part_has_not_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_checks(monkeypatch, "def check_nothing(part):\n    '''Looks elsewhere'''\n")
    (found,) = judge("attention", PARTS["attention"].reference)
    assert (found.title, found.status) == ("Looks elsewhere", "failed")
    assert "never used the part" in found.message


def test_a_part_without_checks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_checks(monkeypatch, "")
    with pytest.raises(ValueError, match="no checks"):
        list(judge("attention", PARTS["attention"].reference))
