"""The part of Operations in which models are fetched, run, stopped and deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import background_tasks, ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from groundup.app.account_changes import require_admin
from groundup.app.application import App
from groundup.app.confirm import confirm
from groundup.app.element import tag
from groundup.app.model_choice import short_name
from groundup.app.model_library import StoredModel
from groundup.app.model_pulls import Pull
from groundup.app.process_memory import process_memory
from groundup.app.toast import toast
from groundup.errors import GroundupError

__all__ = ["ModelTable"]

STATES = {"ready": "good", "starting": "warn", "failed": "bad", "stopped": ""}
NAMED_AT_START = "Named when the app was started."
LOOK = 2.0  # seconds between two looks at processes' memory


def size(count: int) -> str:
    """Bytes in words: 98 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class ModelTable:
    """Drawn anew when something changes; admins alone see it, and who is none any more can do
    nothing with it."""

    def __init__(self, app: App, user: str) -> None:
        self.app, self.user = app, user
        self.client = ui.context.client
        self.stale = False
        self.drawn: object = None  # what was drawn last
        self.memory: dict[str, TextElement] = {}  # what tells it, by model
        self.draw_form()
        with tag("div", "stack") as self.pulls:
            pass
        with tag("div", "model-list stack") as self.list:
            pass
        for end in (app.models.on_change(self.renew), app.pulls.on_change(self.renew)):
            self.client.on_delete(end)
        ui.timer(LOOK, self.draw)
        self.renew()

    def draw_form(self) -> None:
        with tag("form", "card row model-form") as form:
            with tag("div", "field grow"):
                tag("label", "", "Add a model", for_="model-name")
                tag(
                    "input", "", id="model-name", maxlength=500, autocomplete="off",
                    placeholder="owner/name of the Hugging Face hub, or the path of a GGUF file",
                )  # fmt: skip
            tag("button", "button primary", "Add", type="submit")
            with tag("p", "muted small-text model-elsewhere"):
                tag("span", "", "Models that answer elsewhere are added in ")
                tag("a", "", "Settings", href="/settings")
                tag("span", "", ".")
        form.on(
            "submit", self.on_add,
            js_handler="(event) => { event.preventDefault(); "
            "emit(document.getElementById('model-name').value); }",
        )  # fmt: skip

    # --- what is shown

    def renew(self) -> None:
        """Draw it anew, soon: changes that come together are drawn together."""
        if not self.stale:
            self.stale = True
            background_tasks.create(self.draw(), name="models")

    async def draw(self) -> None:
        """Draw what there is, where it is another than before."""
        self.stale = False
        models = self.app.models

        def read() -> tuple[list[StoredModel], dict[str, int], str]:
            pids = {name: pid for name in models.running() if (pid := models.pid(name))}
            memory = {name: process_memory(pid) for name, pid in pids.items()}
            try:
                return self.app.library.all(), memory, ""
            except GroundupError as error:
                return [], memory, str(error)

        stored, memory, problem = await asyncio.to_thread(read)
        others = [self.app.model, *models.running()]
        known = {model.name for model in stored}
        stored += [
            StoredModel(name, "own", True, 0, NAMED_AT_START)
            for name in dict.fromkeys(others)
            if name not in known
        ]
        pulls = [
            (p.name, p.state, p.done, p.total, p.reason) for p in self.app.pulls.pulls.values()
        ]
        states = [(models.state(each.name), models.reason(each.name)) for each in stored]
        shown_memory = {name: size(count) for name, count in memory.items()}
        drawn = stored, problem, pulls, states
        if drawn != self.drawn:
            self.drawn = drawn
            self.draw_all(stored, problem)
        for name, label in self.memory.items():  # alone, or buttons would be others all the time
            label.set_text(f"{shown_memory[name]} in memory" if name in shown_memory else "")

    def draw_all(self, stored: list[StoredModel], problem: str) -> None:
        self.memory.clear()
        with self.client:
            self.pulls.clear()
            with self.pulls:
                for pull in self.app.pulls.pulls.values():
                    self.draw_pull(pull)
            self.list.clear()
            with self.list:
                if problem:
                    tag("p", "banner bad", problem)
                for model in stored:
                    self.draw_model(model)

    def draw_pull(self, pull: Pull) -> None:
        with tag("div", "card pull", data_pull=pull.name):
            with tag("div", "row"):
                tag("strong", "grow", pull.name)
                if pull.state == "running":
                    self.button("Cancel", lambda: self.app.pulls.cancel(pull.name), "small")
                else:
                    if pull.state != "complete":
                        self.button("Go on", lambda: self.pull(pull.name), "small")
                    self.button("Close", lambda: self.app.pulls.forget(pull.name), "small quiet")
            done = size(pull.done)
            if pull.state == "running":
                share = min(1.0, pull.done / pull.total) if pull.total else None
                of = f" of {size(pull.total)}" if pull.total else ""
                tag("p", "muted small-text figure", f"{done}{of}")
                with tag("div", "progress", role="progressbar", aria_label=f"Fetching {pull.name}"):
                    bar = tag("div", "" if pull.total else "unknown")
                if share is not None:
                    bar.style(f"width: {100 * share:.1f}%")
                    assert bar.parent_slot is not None
                    bar.parent_slot.parent.props["aria-valuenow"] = round(100 * share)
            else:
                said = {
                    "complete": "It is here.",
                    "cancelled": f"Cancelled. {done} are kept: it goes on from there.",
                    "failed": pull.reason,
                }
                kind = "bad" if pull.state == "failed" else ""
                tag("p", f"small-text model-reason {kind}", said[pull.state])

    def draw_model(self, model: StoredModel) -> None:
        name = model.name
        state, reason = self.app.models.state(name), self.app.models.reason(name)
        with tag("article", "card model", data_model=name):
            with tag("div", "row"):
                tag("h2", "grow", short_name(name))
                if name == self.app.model:
                    tag("span", "chip accent", "default")
                if not model.here:
                    tag("span", "chip", "not here")
                elif state != "stopped":
                    tag("span", f"chip {STATES[state]}", state)
            if name != short_name(name):
                tag("p", "muted small-text mono model-name", name)
            with tag("p", "muted small-text row"):
                tag("span", "", model.about)
                tag("span", "figure", size(model.size) if model.size else "")
                self.memory[name] = tag("span", "figure")
            if reason:
                tag("p", f"small-text model-reason {STATES[state]}", f"{reason}. Logs say more.")
            with tag("div", "row"):
                if not model.here:
                    if model.kind == "packaged":
                        self.button("Fetch", lambda: self.pull(name), "small primary")
                elif state in ("stopped", "failed"):
                    self.button("Run", lambda: self.run(name), "small")
                else:
                    self.button("Restart", lambda: self.app.models.restart(name), "small")
                    self.button("Stop", lambda: self.app.models.stop(name), "small")
                if model.kind == "own" and model.about != NAMED_AT_START:
                    self.button("Take out", lambda: self.remove(model), "small quiet danger")
                elif model.kind != "own" and model.here:
                    self.button("Delete", lambda: self.remove(model), "small quiet danger")

    def button(self, label: str, action: Callable[[], Any], classes: str) -> None:
        with tag("button", f"button {classes}", label, type="button") as button:
            button.on("click", lambda: self.do(action))

    # --- what is done

    async def remove(self, model: StoredModel) -> None:
        """Delete a model, or take out the user's own, if that is confirmed."""
        verb = "Take out" if model.kind == "own" else "Delete"
        text = (
            "The entry goes. Your files stay where they are."
            if model.kind == "own"
            else f"{size(model.size)} are freed. It can be fetched again, with a network."
        )
        if await confirm(self.client, f"{verb} {short_name(model.name)}?", text, verb):
            await self.app.models.stop(model.name)
            await asyncio.to_thread(self.app.library.remove, model.name)
            self.renew()

    async def on_add(self, event: GenericEventArguments) -> None:
        given = str(event.args).strip()

        async def add() -> None:
            if given.startswith(("/", "~")) or given.endswith(".gguf"):
                name = await asyncio.to_thread(self.app.library.add, given)
                toast(self.client, f"{short_name(name)} can be chosen now.", "good")
                self.renew()
            else:
                self.pull(given)

        await self.do(add)

    def pull(self, name: str) -> None:
        self.app.pulls.start(name)

    def run(self, name: str) -> None:
        async def start() -> None:
            await self.do(lambda: self.app.models.endpoint(name))

        background_tasks.create(start(), name=f"start {name}")

    async def do(self, action: Callable[[], Any]) -> None:
        """Do what an admin wants; what goes wrong is said."""
        try:
            await asyncio.to_thread(require_admin, self.app.store, self.user)
            result = action()
            if isinstance(result, Awaitable):
                await result
        except GroundupError as error:
            toast(self.client, str(error), "bad")
