"""The page of one part: its lesson beside the learner's file, its checks, and what they say."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from groundup.app.application import App
from groundup.app.components.code_editor import CodeEditor
from groundup.app.confirm import confirm
from groundup.app.element import svg, tag
from groundup.app.from_thread import from_thread
from groundup.app.markdown import render
from groundup.app.part_chips import draw_chips
from groundup.app.picture import draw_picture
from groundup.app.pictures import find_pictures
from groundup.app.toast import toast
from groundup.app.workspace_offer import draw_workspace_offer, found_workspace
from groundup.course.check import Verdict, check
from groundup.course.edit import (
    EditConflictError,
    Edition,
    keep_aside,
    read_edition,
    save_edition,
)
from groundup.course.grader.result import CheckResult
from groundup.course.help import hints, show_next_hint, show_solution
from groundup.course.lesson import lesson
from groundup.course.parts.table import Part
from groundup.course.progress import PartProgress, progress
from groundup.course.roadmap import load_roadmap
from groundup.course.speed import Speed, compare_speed
from groundup.course.swap import swap_in, swap_out
from groundup.course.workspace import Workspace
from groundup.errors import GroundupError

__all__ = ["draw_lab"]

POLL = 0.5  # seconds between two looks at the learner's file and record


def told(handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A handler of an event; what goes wrong is said to the learner."""

    @wraps(handler)
    async def handle(lab: "Lab", *arguments: Any) -> None:
        try:
            await handler(lab, *arguments)
        except GroundupError as error:
            toast(lab.client, str(error), "bad")

    return handle


async def draw_lab(app: App, part: Part) -> None:
    """Draw the page of a part in its state now, and keep it so."""
    workspace, problem = await asyncio.to_thread(found_workspace, app)
    lab = Lab(app, part, workspace)
    lab.draw(problem)
    if workspace is not None:
        await asyncio.to_thread(workspace.log, "lesson", part=part.id)
        await lab.follow()
        ui.timer(POLL, lab.follow, immediate=False)


class Lab:
    """One visit."""

    def __init__(self, app: App, part: Part, workspace: Workspace | None) -> None:
        self.app, self.part, self.workspace = app, part, workspace
        self.client = ui.context.client
        self.seen: tuple[object, ...] = ()  # of file and record, when they were read last
        self.version: str | None = None  # of the file, as the page shows it
        self.editor: CodeEditor | None = None
        self.busy = False  # a check or a comparison runs
        self.mine = ""  # this page's text, while the learner has to choose
        self.panels: dict[str, tuple[ui.element, ui.element]] = {}  # by name: tab, content

    # --- what is shown

    def draw(self, problem: str) -> None:
        """The frame of the page."""
        part = self.part
        week = next(w for w in load_roadmap() if part.id in {each.id for each in w.parts})
        with tag("div", "lab"):
            with tag("header", "lab-head"):
                with tag("div", "grow"):
                    with tag("p", "muted small-text"):
                        tag("a", "", "Labs", href="/labs")
                        tag("span", "", f" · Week {week.number} · {part.minutes} minutes")
                    tag("h1", "", part.id)
                    tag("p", "muted", part.summary)
                self.chips = tag("div", "row")
            with tag("section", "lab-read", aria_label="Lesson"):
                self.draw_reading()
            with tag("section", "lab-work", aria_label="Your part"):
                if self.workspace is None:
                    draw_workspace_offer(problem)
                else:
                    self.draw_work()

    def draw_reading(self) -> None:
        """The tabs of the lesson, the picture and the hints."""
        self.tabs = tag("div", "tabs", role="tablist", aria_label="Read")
        self.tabs.on("keydown", js_handler=_ARROWS)
        with self.panel("Lesson"):
            ui.html(render(lesson(self.part)), sanitize=False).classes("prose")
        picture = find_pictures().get(self.part.id)
        if picture is not None:
            with self.panel("Picture"):
                draw_picture(self.app, *picture)
        if self.workspace is not None:
            with self.panel("Hints"):
                tag("p", "muted", "Three levels, from where to start to nearly there. Your record "
                    "notes each one you see.")  # fmt: skip
                self.hints = tag("div", "stack")
                self.more = tag("button", "button", "Show a hint", type="button")
                self.more.on("click", self.hint)
        self.show_panel("Lesson")

    def panel(self, name: str) -> ui.element:
        """A tab, and the element that it shows."""
        number = len(self.panels)
        with self.tabs:
            button = tag("button", "", name, type="button", role="tab", id=f"lab-tab-{number}")
            button.props["aria-controls"] = f"lab-panel-{number}"
            button.on("click", lambda: self.show_panel(name))
        content = tag("div", "lab-panel", role="tabpanel", id=f"lab-panel-{number}", tabindex=0)
        content.props["aria-labelledby"] = f"lab-tab-{number}"
        self.panels[name] = (button, content)
        return content

    def show_panel(self, name: str) -> None:
        for each, (button, content) in self.panels.items():
            button.props["aria-selected"] = "true" if each == name else "false"
            button.props["tabindex"] = 0 if each == name else -1
            content.set_visibility(each == name)

    def draw_work(self) -> None:
        """The editor with what belongs to it; before the start, what begins it."""
        self.begin = tag("div", "empty")
        with self.begin:
            tag("p", "", "The exercise is a file with the signatures and docstrings of the "
                "library's own. You write the bodies.")  # fmt: skip
            tag("button", "button primary", "Start this part", type="button").on(
                "click", self.start
            )
        self.desk = tag("div", "lab-desk")
        with self.desk:
            with tag("div", "row lab-tools"):
                with tag("button", "button primary", type="button") as self.check_button:
                    svg("play")
                    tag("span", "", "Check")
                self.check_button.on("click", self.check)
                self.swap_button = tag("button", "button yours", "Swap in", type="button")
                self.swap_button.on("click", self.swap)
                tag("span", "grow")
                for name, handler in (
                    ("Speed", self.speed),
                    ("Solution", self.solution),
                    ("Reset", self.reset),
                ):
                    button = tag("button", "button quiet small", name, type="button")
                    button.on("click", handler)
            self.conflict = tag("div", "banner warn lab-conflict", role="alert")
            self.place = tag("div", "lab-editor")
            self.said = tag("div", "lab-said", aria_live="polite")
            tag("p", "muted small-text lab-keys", "Ctrl+Enter checks. Escape, then Tab leaves the "
                "editor. The file is yours: any other editor may have it open too.")  # fmt: skip

        self.conflict.set_visibility(False)
        self.begin.set_visibility(False)
        self.desk.set_visibility(False)

    # --- what changes elsewhere

    async def follow(self) -> None:
        """Show what the file and the record are now, if they changed."""
        if self.workspace is None:
            return
        file, record = self.workspace.file(self.part), self.workspace.events_file
        seen = await asyncio.to_thread(lambda: (_stamp(file), _stamp(record)))
        if seen == self.seen:
            return
        try:
            edition = await asyncio.to_thread(read_edition, file)
            states = await asyncio.to_thread(progress, self.workspace)
        except GroundupError as error:
            self.seen = seen
            toast(self.client, str(error), "bad")
            return
        self.seen = seen
        self.show_file(edition)
        self.show_state(states[self.part.id])

    def show_file(self, edition: Edition | None) -> None:
        """Show the file's text, or that it is not there."""
        if edition is None:
            self.begin.set_visibility(self.editor is None)
            return
        if self.editor is None:
            self.begin.set_visibility(False)
            self.desk.set_visibility(True)
            with self.place:
                self.editor = CodeEditor(edition, f"{self.part.stem}.py")
            self.editor.on("save", self.save)
            self.editor.on("check", self.check)
        elif edition.version != self.version and not self.mine:
            self.editor.follow(edition)
        self.version = edition.version

    def show_state(self, state: PartProgress) -> None:
        """The chips, and which buttons do something."""
        self.chips.clear()
        with self.chips:
            draw_chips(state)
        self.swap_button.set_text("Swap out" if state.swapped else "Swap in")
        self.swap_button.set_visibility(state.swapped or state.state == "passed")
        self.swapped = state.swapped
        self.show_hints(state.hints)

    def show_hints(self, level: int) -> None:
        """Those that the record says were seen."""
        texts = hints(self.part)
        self.hints.clear()
        with self.hints:
            for text in texts[:level]:
                ui.html(render(f"## {text}"), sanitize=False).classes("prose card")
        self.more.set_visibility(level < len(texts))
        self.more.set_text("Show the next hint" if level else "Show a hint")

    # --- writing

    @told
    async def start(self, *_: object) -> None:
        assert self.workspace is not None
        await asyncio.to_thread(self.workspace.start, self.part)
        await self.follow()

    async def save(self, event: GenericEventArguments) -> None:
        """Write what the page sends, unless the file changed elsewhere: then both are kept."""
        assert self.workspace is not None
        assert self.editor is not None
        text, base = str(event.args["text"]), str(event.args["base"])
        file = self.workspace.file(self.part)
        try:
            edition = await asyncio.to_thread(save_edition, file, text, base)
        except EditConflictError as conflict:
            try:
                backups = self.workspace.root / "backups"
                kept = await asyncio.to_thread(keep_aside, backups, self.part.stem, text)
            except GroundupError as error:
                self.editor.refused(str(error))
                return
            self.mine = text
            self.editor.conflicted()
            self.show_conflict(conflict.theirs, kept.name)
        except GroundupError as error:
            self.editor.refused(str(error))
        else:
            self.version = edition.version
            self.editor.saved(edition.version)

    def show_conflict(self, theirs: Edition, kept: str) -> None:
        """Both texts, to choose from."""
        self.conflict.clear()
        with self.conflict, tag("div", "stack grow"):
            tag("strong", "", "The file was changed elsewhere while you wrote here")
            tag("span", "", f"Nothing is lost: this page's text is also in backups/{kept}.")
            with tag("details"):
                tag("summary", "", "What the file holds")
                tag("pre", "", theirs.text, tabindex=0)
            with tag("div", "row"):
                keep = tag("button", "button primary small", "Keep this page's text", type="button")
                take = tag("button", "button small", "Take the file's text", type="button")
        keep.on("click", lambda: self.resolve(True))
        take.on("click", lambda: self.resolve(False))
        self.conflict.set_visibility(True)

    @told
    async def resolve(self, here: bool) -> None:
        """End a conflict with this page's text or the file's. The other one is in backups."""
        assert self.workspace is not None
        assert self.editor is not None
        file = self.workspace.file(self.part)
        theirs = await asyncio.to_thread(read_edition, file)
        mine = str(await self.editor.run_method("written", timeout=10)) or self.mine
        chosen = theirs
        backups = self.workspace.root / "backups"
        if here or theirs is None:
            if theirs is not None:
                await asyncio.to_thread(keep_aside, backups, self.part.stem, theirs.text)
            base = theirs.version if theirs else ""
            try:
                chosen = await asyncio.to_thread(save_edition, file, mine, base)
            except EditConflictError as again:  # it changed within these milliseconds
                self.show_conflict(again.theirs, "")
                return
        elif mine != self.mine:  # written after the conflict was found
            await asyncio.to_thread(keep_aside, backups, self.part.stem, mine)
        assert chosen is not None
        self.mine, self.version = "", chosen.version
        self.editor.take(chosen)
        self.conflict.set_visibility(False)

    async def saved(self) -> None:
        """Wait until the editor's text is in the file.

        Raises:
            GroundupError: it cannot be.
        """
        if self.editor is not None and not await self.editor.flush():
            raise GroundupError("what you wrote is not saved yet: see below the editor")

    # --- what one does with a part

    @told
    async def check(self, *_: object) -> None:
        """Run the checks, and show each result as it comes."""
        assert self.workspace is not None
        if self.busy:
            return
        self.work(True)
        try:
            await self.saved()
            self.said.clear()
            with self.said:
                state = tag("p", "row muted")
                with state:
                    tag("span", "spinner")
                    words = tag("span", "", "Checking")
                verdict = tag("div", "stack")  # above the checks: these may be many
                rows = tag("ul", "checks")
            workspace, loop, shown = self.workspace, asyncio.get_running_loop(), ""

            def starting() -> None:
                loop.call_soon_threadsafe(
                    words.set_text, "Starting the grader: it takes some seconds, once"
                )

            async for result in from_thread(lambda: check(workspace, self.part, starting)):
                if isinstance(result, Verdict):
                    state.delete()
                    with verdict:
                        self.draw_verdict(result)
                else:
                    words.set_text("Checking")
                    with rows:
                        draw_result(result, same=result.message == shown)
                    shown = result.message or shown
        except GroundupError:
            self.said.clear()
            raise
        finally:
            self.work(False)
        await self.follow()

    def draw_verdict(self, verdict: Verdict) -> None:
        if not verdict.unchanged:
            with tag("div", "banner warn"):
                tag("span", "grow", "The file was saved while it was checked: check it again.")
        elif verdict.passed:
            with tag("div", "banner lab-passed"):
                svg("check")
                tag("strong", "grow", f"All {verdict.count} checks passed")
                if not self.swapped:
                    button = tag("button", "button yours small", "Run the app on it", type="button")
                    button.on("click", self.swap)
        else:
            count = verdict.count - len(verdict.failed)
            with tag("div", "banner bad"):
                tag("span", "grow", f"{count} of {verdict.count} checks passed")
                button = tag("button", "button small", "Show a hint", type="button")
                button.on("click", lambda: self.show_panel("Hints"))

    def work(self, busy: bool) -> None:
        """Only one check or comparison runs at a time."""
        self.busy = busy
        if busy:
            self.check_button.props["disabled"] = True
        else:
            self.check_button.props.pop("disabled", None)

    @told
    async def hint(self, *_: object) -> None:
        assert self.workspace is not None
        await asyncio.to_thread(show_next_hint, self.workspace, self.part)
        await self.follow()

    @told
    async def solution(self, *_: object) -> None:
        assert self.workspace is not None
        if "Solution" not in self.panels:
            agreed = await confirm(
                self.client,
                f"Show how the library does {self.part.id}?",
                "Your record will say that you saw it. A hint may be enough.",
                "Show the solution",
            )
            if not agreed:
                return
            source = await asyncio.to_thread(show_solution, self.workspace, self.part)
            with self.tabs.parent_slot.parent, self.panel("Solution"):  # type: ignore[union-attr]
                code = ui.html(render(f"~~~~~~python\n{source}~~~~~~"), sanitize=False)
                code.classes("prose")
            await self.follow()
        self.show_panel("Solution")

    @told
    async def swap(self, *_: object) -> None:
        """Swap in or out. The model's server follows the record by itself."""
        assert self.workspace is not None
        if self.swapped:
            await asyncio.to_thread(swap_out, self.workspace, self.part)
            toast(self.client, f"The app runs on its own {self.part.id} again")
        else:
            await self.saved()
            await asyncio.to_thread(swap_in, self.workspace, self.part)
            toast(
                self.client, f"The app now runs on your {self.part.id}. Try it in the chat", "good"
            )
        await self.follow()

    @told
    async def reset(self, *_: object) -> None:
        assert self.workspace is not None
        assert self.editor is not None
        agreed = await confirm(
            self.client,
            f"Begin {self.part.id} anew?",
            "The stub comes back. What you wrote is put into the folder backups of your workspace.",
            "Begin anew",
        )
        if not agreed:
            return
        await self.saved()
        backup = await asyncio.to_thread(self.workspace.reset, self.part)
        edition = await asyncio.to_thread(read_edition, self.workspace.file(self.part))
        assert edition is not None
        self.version = edition.version
        self.editor.take(edition)
        self.said.clear()
        toast(self.client, f"What you had written is in backups/{backup.name}")
        await self.follow()

    @told
    async def speed(self, *_: object) -> None:
        """Compare with the reference, in a process of its own."""
        assert self.workspace is not None
        if self.busy:
            return
        self.work(True)
        try:
            await self.saved()
            file = self.workspace.started_file(self.part)
            self.said.clear()
            with self.said, tag("p", "row muted"):
                tag("span", "spinner")
                tag("span", "", "Measuring yours and the reference, in turns")
            measured = await asyncio.to_thread(compare_speed, self.part, file)
            self.said.clear()
            with self.said:
                draw_speed(measured)
        except GroundupError:
            self.said.clear()
            raise
        finally:
            self.work(False)


def draw_result(result: CheckResult, *, same: bool) -> None:
    """One check: whether it passed, and what was wrong."""
    with tag("li", "passed" if result.passed else "failed"):
        svg("check" if result.passed else "close")
        with tag("div", "grow"):
            tag("span", "visually-hidden", "Passed: " if result.passed else "Failed: ")
            tag("span", "", result.title)
            if not result.passed and same:
                tag("p", "muted", "the same")
            elif not result.passed:
                tag("pre", "", result.message, tabindex=0)
            if result.printed and not result.passed:
                with tag("details"):
                    tag("summary", "muted", "What your code printed")
                    tag("pre", "", result.printed.rstrip(), tabindex=0)
            if result.status == "fatal":
                tag("p", "muted", "The other checks were not run.")


def draw_speed(speed: Speed) -> None:
    """Both times at two sizes, and how they grow."""
    with tag("table", "table card"):
        tag("caption", "visually-hidden", "Speed of your part beside the reference")
        with tag("thead"), tag("tr"):
            for name in ("Size", "Yours", "Reference", "Yours / reference"):
                tag("th", "number", name, scope="col")
        with tag("tbody"):
            for size, mine, other in zip(speed.sizes, speed.yours, speed.reference, strict=True):
                with tag("tr"):
                    for text in (f"{size:,}", f"{mine * 1e3:.3f} ms", f"{other * 1e3:.3f} ms",
                                 f"{mine / other:.2f}"):  # fmt: skip
                        tag("td", "number", text)
    yours, theirs = (b / a for a, b in (speed.yours, speed.reference))
    tag("p", "muted", f"At twice the size yours takes {yours:.1f} times as long, the reference "
        f"{theirs:.1f} times.")  # fmt: skip


def _stamp(file: Any) -> tuple[int, int] | None:
    """When a file was written, and its size; None while it is not there."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


# Arrows go from tab to tab, as tabs are expected to work.
_ARROWS = """(event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = [...event.currentTarget.children];
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
}"""
