"""A look into the model while it talks: probabilities, attention, the engine's steps and blocks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from groundup.app.answers import Changed, Progress
from groundup.app.components.attention_view import AttentionView
from groundup.app.components.engine_view import EngineView
from groundup.app.components.token_view import TokenView
from groundup.app.element import svg, tag
from groundup.app.engine_inside import engine_inside
from groundup.app.model_choice import short_name
from groundup.app.page import Page
from groundup.app.reading_order import Source
from groundup.app.recent_answers import RecentAnswer, recent_answers, source_messages
from groundup.app.tab_list import TabList
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["PAGE"]

LOOK = 0.5  # seconds between two looks at the engine
LONGEST_TEXT = 20_000  # characters of one's own
NEWEST, OWN = "", "own"  # choices beside answers' ids
TABS = {"tokens": "Probabilities", "attention": "Attention", "engine": "Cache and scheduler"}
EXAMPLE = "The cat did not cross the street because it was too tired."


class InsidePage:
    """One visit."""

    def __init__(self, visitor: Visitor, tab: str) -> None:
        self.app, self.user = visitor.app, visitor.user.id
        self.client = ui.context.client
        self.choice = NEWEST
        self.answers: list[RecentAnswer] = []
        self.answer: RecentAnswer | None = None  # that is shown
        self.source: Source | None = None  # of what was read with the model
        self.live = -1  # so many tokens of a running answer are shown; -1: it is none
        self.shown = 0  # changes with what is shown: what comes late is dropped
        self.looking = False
        self.unread = False  # something may have changed that is not shown

        with tag("div", "sheet inside"):
            with tag("header"):
                tag("h1", "", "Inside")
                tag("p", "", "What the model computes while it talks, and what it remembers.")
            self.tabs = TabList(TABS, tab, self.on_tab)
            with tag("div", "inside-bar row") as self.bar:
                tag("label", "muted", "Look into", for_="inside-answer")
                self.select = tag("select", "input", id="inside-answer")
                self.select.on(
                    "change", self.on_choice, js_handler="(event) => emit(event.target.value)"
                )
                self.facts = tag("p", "muted small-text grow")
            self.draw_own_text()
            with tag("p", "banner", role="status") as self.banner:
                self.banner_text = tag("span", "grow")
            with self.tabs.panel("tokens"):
                self.tokens = TokenView()
            with self.tabs.panel("attention"):
                self.attention = AttentionView()
                self.attention.on("head", self.on_head)
            with self.tabs.panel("engine"):
                with tag("div", "empty") as self.no_engine:
                    svg("eye")
                    self.no_engine_text = tag("p")
                    with tag("button", "button", "Load the model", type="button") as self.load:
                        pass
                    self.load.on("click", self.on_load)
                self.engine = EngineView()
        for end in (
            self.app.answers.watch(self.user),
            self.app.answers.changes.listen(self.user, self.on_change),
        ):
            self.client.on_delete(end)
        self.end_following: Callable[[], None] = lambda: None
        self.client.on_delete(lambda: self.end_following())
        ui.timer(LOOK, self.look)

    def draw_own_text(self) -> None:
        with tag("form", "card own-text") as self.own:
            with tag("div", "field"):
                tag("label", "", "Your text", for_="inside-text")
                self.text = tag("textarea", "", id="inside-text", rows=3, maxlength=LONGEST_TEXT)
                self.text.props["defaultValue"] = EXAMPLE
            button = tag("button", "button primary", "Read it", type="submit")
        self.own.on(
            "submit", self.on_text,
            js_handler="(event) => { event.preventDefault(); "
            "emit(document.getElementById('inside-text').value); }",
        )  # fmt: skip
        button.props["aria-describedby"] = "inside-text"

    # --- what is shown

    def say(self, text: str, kind: str = "") -> None:
        """Say it in the place of what could be shown; nothing is said for an empty text."""
        self.banner_text.set_text(text)
        self.banner.set_visibility(bool(text) and self.tabs.chosen != "engine")
        self.banner.classes(kind, remove="warn bad")

    async def renew(self) -> None:
        """Show what is chosen, as it is now; nothing is read while the engine is shown."""
        if self.tabs.chosen == "engine":
            self.unread = True
            return
        found = await asyncio.to_thread(recent_answers, self.app.store, self.user)
        running = [each for each in found if each.message.state == "streaming"]
        with self.client:
            self.show_choices(found)
            self.own.set_visibility(self.choice == OWN and self.tabs.chosen != "engine")
            if self.choice == OWN:
                if self.answer is not None:
                    self.clear()
                    await self.read_text(EXAMPLE)
                return
            if self.choice == NEWEST:
                answer = next(iter(running or found), None)
            else:
                chosen = (each for each in found if each.message.id == self.choice)
                answer = next(chosen, self.answer)
            await self.show_answer(answer)

    def show_choices(self, found: list[RecentAnswer]) -> None:
        if found == self.answers and self.select.default_slot.children:
            return
        self.answers = found
        self.select.clear()
        with self.select:
            tag("option", "", "the newest answer, as it is written", value=NEWEST)
            tag("option", "", "a text of your own", value=OWN)
            for each in found:
                tag("option", "", f"“{each.title[:60]}”", value=each.message.id)
        self.select.props["value"] = self.choice

    def clear(self) -> None:
        self.shown += 1
        self.answer, self.source, self.live = None, None, -1
        self.end_following()
        self.end_following = lambda: None
        self.tokens.show([])
        self.attention.set_visibility(False)
        self.facts.set_text("")

    async def show_answer(self, answer: RecentAnswer | None) -> None:
        old = self.answer
        if answer is not None and old is not None and answer.message.id == old.message.id:
            if answer.message.state == old.message.state:
                return
            self.tokens.add([], live=False)  # they stay, until it was read as a whole
            self.live = -1
            self.end_following()
        else:
            self.clear()
        self.answer = answer
        if answer is None:
            self.say(
                "There is no answer yet. Ask something in the chat, and come back: it is shown "
                "here as it is written. Or choose a text of your own."
            )
            return
        if answer.message.state == "streaming":
            self.follow(answer)
        else:
            await self.read_answer(answer)

    def follow(self, answer: RecentAnswer) -> None:
        """Show the tokens of an answer as they come."""
        self.live = 0
        self.facts.set_text(f"{short_name(answer.message.model)} is writing")
        changes = self.app.answers.changes
        self.end_following = changes.listen(answer.message.conversation_id, self.on_progress)
        progress = self.app.answers.progress(answer.message.id)
        self.show_live(progress.waiting if progress is not None else "")

    def show_live(self, waiting: str) -> None:
        """Show what has come; ``waiting``: for what, while there is no token."""
        assert self.answer is not None
        chances = self.app.answers.chances(self.answer.message.id)
        if waiting:
            self.say(f"{waiting} …")
        elif chances is None:
            self.say(
                "This answer's probabilities were not asked for, as it began before this page was "
                "open: they come when it ends.",
            )
        elif len(chances) > self.live:
            self.say(
                "What its heads look at is read when the answer has ended."
                if self.tabs.chosen == "attention" else ""
            )  # fmt: skip
            self.tokens.add(chances[self.live :])
            self.live = len(chances)

    async def read_answer(self, answer: RecentAnswer) -> None:
        """Show what the model makes of a kept answer."""
        message = answer.message
        if await asyncio.to_thread(self.app.endpoints.find, message.model) is not None:
            self.say(
                f"{short_name(message.model)} answers elsewhere: what it computed is known there "
                "alone. Choose an answer of a model of this machine.",
                "warn",
            )
            return
        messages = await asyncio.to_thread(source_messages, self.app.store, self.user, message)
        written = f"{short_name(message.model)}, {len(message.content):,} characters"
        self.facts.set_text(written)
        await self.read(Source(message.model, messages=messages))

    async def read_text(self, text: str) -> None:
        """Show what the model makes of a text of one's own."""
        model = self.answer.message.model if self.answer else self.app.model
        self.clear()
        if await asyncio.to_thread(self.app.endpoints.find, model) is not None:
            model = self.app.model
        self.facts.set_text(f"read by {short_name(model)}")
        await self.read(Source(model, text=text[:LONGEST_TEXT]))

    async def read(self, source: Source) -> None:
        shown = self.shown
        # An import may name any file or hub id: not everybody may have it loaded.
        offered = await asyncio.to_thread(self.app.offered_models)
        if self.app.sessions is not None and source.model not in offered:
            self.say(
                f"{short_name(source.model)} is not offered here: choose another answer.", "bad"
            )
            return
        self.say(
            f"{short_name(source.model)} reads it. The first time, it is loaded once more, in a "
            "process of its own."
        )
        try:
            reading = await self.app.reader.reading(source)
        except GroundupError as error:
            if shown == self.shown:
                self.say(str(error), "bad")
            return
        if shown != self.shown:
            return
        self.source = source
        left_out = f"The first {reading.left_out:,} tokens are too many, and were left out."
        self.say(left_out if reading.left_out else "", "warn")
        self.tokens.show(reading.chances)
        self.attention.set_visibility(True)
        self.attention.show(reading)

    # --- what changes

    def on_change(self, event: Progress | Changed) -> None:
        background_tasks.create(self.renew(), name="inside page")

    def on_progress(self, event: Progress | Changed) -> None:
        if isinstance(event, Progress) and self.live >= 0:
            with self.client:
                self.show_live(event.waiting)

    async def on_tab(self, tab: str) -> None:
        self.bar.set_visibility(tab != "engine")
        self.own.set_visibility(self.choice == OWN and tab != "engine")
        self.banner.set_visibility(bool(self.banner_text.text) and tab != "engine")
        ui.navigate.history.replace(f"/inside/{tab}")
        if self.unread and tab != "engine":
            self.unread = False
            background_tasks.create(self.renew(), name="inside page")
        await self.look()

    async def on_choice(self, event: GenericEventArguments) -> None:
        self.choice = str(event.args)
        self.select.props["value"] = self.choice
        await self.renew()

    async def on_text(self, event: GenericEventArguments) -> None:
        await self.read_text(str(event.args))

    async def on_head(self, event: GenericEventArguments) -> None:
        source = self.source
        if source is None:
            return
        layer, head = int(event.args["layer"]), int(event.args["head"])
        try:
            found = await self.app.reader.attention(source, layer, head)
        except GroundupError as error:
            self.say(str(error), "bad")
            return
        if source is self.source:
            self.attention.show_map(layer, head, found.rows)

    # --- the engine

    def watched_model(self) -> str:
        """The model whose engine is shown: that of the answer, else one that runs."""
        wanted = self.answer.message.model if self.answer else self.app.model
        running = self.app.models.ready_endpoints()
        return wanted if wanted in running or not running else next(reversed(running))

    async def look(self) -> None:
        """Look into the engine, where it is shown."""
        if self.tabs.chosen != "engine" or self.looking:
            return
        self.looking = True
        try:
            model = self.watched_model()
            endpoint = self.app.models.ready_endpoints().get(model)
            view = None if endpoint is None else await engine_inside(endpoint)
        finally:
            self.looking = False
        state, reason = self.app.models.state(model), self.app.models.reason(model)
        told = {
            "stopped": f"{short_name(model)} does not run.",
            "starting": f"{short_name(model)} is being loaded. {reason}",
            "failed": f"{short_name(model)} cannot run: {reason}. Operations has its logs.",
            "ready": f"{short_name(model)} is in a long step. It is asked again.",
        }
        self.no_engine_text.set_text(told[state])
        self.load.set_visibility(state in ("stopped", "failed"))
        self.no_engine.set_visibility(view is None)
        self.engine.set_visibility(view is not None)
        if view is not None:
            self.engine.show(view)

    async def on_load(self) -> None:
        model = self.watched_model()
        self.load.set_visibility(False)
        with suppress(GroundupError):  # the state says why it does not run
            await self.app.answers.endpoint_of(model)
        await self.look()


async def build(visitor: Visitor) -> None:
    """Show the tab that the address names."""
    page = InsidePage(visitor, visitor.rest if visitor.rest in TABS else "tokens")
    await page.on_tab(page.tabs.chosen)
    page.say("")
    background_tasks.create(page.renew(), name="inside page")


PAGE = Page("/inside", "Inside", "eye", 40, build, style="inside.css")
