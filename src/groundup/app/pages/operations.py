"""What the models' servers do: figures, models, two side by side, logs."""

import asyncio
from contextlib import suppress

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from groundup.app.comparison import Contender, compare
from groundup.app.components.log_view import LogView
from groundup.app.components.metric_charts import MetricCharts
from groundup.app.element import svg, tag
from groundup.app.markdown import render
from groundup.app.model_choice import short_name
from groundup.app.model_table import ModelTable
from groundup.app.page import Page
from groundup.app.preferences import read_limits
from groundup.app.sampling_options import SAMPLING_OPTIONS, checked_sampling
from groundup.app.tab_list import TabList
from groundup.app.toast import toast
from groundup.app.visitor import Visitor
from groundup.errors import GroundupError

__all__ = ["PAGE"]

TABS = {"figures": "Figures", "compare": "Side by side", "models": "Models", "logs": "Logs"}
FOR_ADMINS = ("models", "logs")
LOOK = 2.0  # seconds between two looks at what is shown
SHOWN = 0.1  # seconds between two updates of an answer
COMPARED = ("temperature", "max_tokens", "seed")  # options of a comparison
DEFAULTS = {"temperature": 0.0, "max_tokens": 200.0}


class OperationsPage:
    """One visit."""

    def __init__(self, visitor: Visitor) -> None:
        self.app, self.user = visitor.app, visitor.user.id
        self.client = ui.context.client
        tabs = {
            name: label
            for name, label in TABS.items()
            if visitor.user.is_admin or name not in FOR_ADMINS
        }
        chosen = visitor.rest if visitor.rest in tabs else "figures"
        self.comparison: asyncio.Task[None] | None = None
        self.sides: list[Side] = []
        self.model = ""  # whose figures and logs are shown
        with tag("div", "sheet operations"):
            with tag("header"):
                tag("h1", "", "Operations")
                tag("p", "", "What the models of this machine are doing, and which there are.")
            self.tabs = TabList(tabs, chosen, self.on_tab)
            with tag("div", "operations-bar row") as self.bar:
                tag("label", "muted", "Model", for_="operations-model")
                self.select = tag("select", "input", id="operations-model")
                self.select.on(
                    "change", self.on_model, js_handler="(event) => emit(event.target.value)"
                )
                self.state = tag("span", "chip")
                self.reason = tag("span", "muted small-text grow operations-reason")
            with self.tabs.panel("figures"):
                with tag("div", "empty") as self.nothing:
                    svg("gauge")
                    self.nothing_text = tag("p")
                self.charts = MetricCharts()
            with self.tabs.panel("compare"):
                self.draw_comparison()
            if "models" in tabs:
                with self.tabs.panel("models"):
                    ModelTable(self.app, self.user)
            self.log: LogView | None = None
            if "logs" in tabs:
                with self.tabs.panel("logs"):
                    self.log = LogView()
        ui.timer(LOOK, self.look)
        self.client.on_delete(self.app.models.on_change(self.look_soon))
        self.client.on_delete(self.stop)

    # --- figures and logs

    async def on_tab(self, tab: str) -> None:
        self.bar.set_visibility(tab in ("figures", "logs"))
        ui.navigate.history.replace(f"/operations/{tab}")
        self.look()

    def look_soon(self) -> None:
        with self.client:
            self.look()

    def look(self) -> None:
        """Show the model's figures or log as they are now."""
        models = self.app.models
        running = models.running()
        names = list(dict.fromkeys([*reversed(running), *self.app.metrics.points])) or [
            self.app.model
        ]
        if self.model not in names:
            self.model = names[0]
        self.show_models(names)
        state, reason = models.state(self.model), models.reason(self.model)
        self.state.set_text(state)
        kinds = {"ready": "good", "starting": "warn", "failed": "bad", "stopped": ""}
        self.state.classes(kinds[state], remove="good warn bad")
        self.reason.set_text(reason)
        if self.tabs.chosen == "figures":
            history = self.app.metrics.figures(self.model)
            told = {
                "ready": "No figures yet: the first come within two seconds.",
                "starting": "The model is being loaded. Its figures come when it answers.",
                "failed": f"The model does not run: {reason}. Its logs say more.",
                "stopped": "The model does not run. Ask it something in the chat.",
            }
            self.nothing_text.set_text(told[state])
            self.nothing.set_visibility(not history)
            self.charts.set_visibility(bool(history))
            if history:
                self.charts.show(history)
        elif self.tabs.chosen == "logs" and self.log is not None:
            self.log.show(models.logs(self.model))

    def show_models(self, names: list[str]) -> None:
        shown = [child.props.get("value") for child in self.select.default_slot.children]
        if shown != names:
            self.select.clear()
            with self.select:
                for name in names:
                    tag("option", "", short_name(name), value=name)
        if self.select.props.get("value") != self.model:
            self.select.props["value"] = self.model

    def on_model(self, event: GenericEventArguments) -> None:
        self.model = str(event.args)
        self.look()

    # --- side by side

    def draw_comparison(self) -> None:
        with tag("form", "card compare-form") as form:
            with tag("div", "field"):
                tag("label", "", "One prompt for both", for_="compare-prompt")
                tag("textarea", "", id="compare-prompt", rows=3, maxlength=50_000)
            with tag("div", "row compare-options"):
                for option in SAMPLING_OPTIONS:
                    if option.name in COMPARED:
                        with tag("div", "field"):
                            tag("label", "", option.label, for_=f"compare-{option.name}")
                            field = tag(
                                "input", "", id=f"compare-{option.name}", type="number",
                                step="1" if option.whole else "any", placeholder="auto",
                            )  # fmt: skip
                            field.props["min"], field.props["max"] = option.low, option.high
                            if option.name in DEFAULTS:
                                field.props["defaultValue"] = f"{DEFAULTS[option.name]:g}"
                tag("span", "grow")
                self.ask = tag("button", "button primary", "Ask both", type="submit")
                self.end = tag("button", "button", "Stop", type="button")
                self.end.set_visibility(False)
                self.end.on("click", self.stop)
        form.on(
            "submit", self.on_compare,
            js_handler="(event) => { event.preventDefault(); const value = (id) => "
            "document.getElementById('compare-' + id).value; emit({prompt: value('prompt'), "
            + ", ".join(f"{name}: value('{name}')" for name in COMPARED)
            + "}); }",
        )  # fmt: skip
        tag(
            "p", "muted small-text compare-note",
            "Both answer at the same time, so they share this machine: alone, each is faster.",
        )  # fmt: skip
        with tag("div", "compare"):
            offered = self.app.offered_models()
            self.sides = [Side("A", offered, offered[0]), Side("B", offered, offered[-1])]

    async def on_compare(self, event: GenericEventArguments) -> None:
        if self.comparison is not None and not self.comparison.done():
            return
        try:
            prompt = await self.app.answers.checked(self.user, str(event.args["prompt"]))
            given = {name: event.args[name] for name in COMPARED if event.args[name] != ""}
            sampling = checked_sampling({name: float(value) for name, value in given.items()})
            longest = (await asyncio.to_thread(read_limits, self.app.store)).answer_tokens
            sampling["max_tokens"] = min(sampling.get("max_tokens", longest), longest)
        except (GroundupError, ValueError) as error:
            toast(self.client, str(error), "bad")
            return
        self.comparison = background_tasks.create(self.compare(prompt, sampling), name="compare")

    async def compare(self, prompt: str, sampling: dict[str, float]) -> None:
        contenders = [Contender(side.model) for side in self.sides]
        self.show_asking(True)
        updating = asyncio.create_task(self.show_answers(contenders))
        try:
            await compare(
                contenders, self.app.answers.endpoint_of, prompt, sampling, lambda _: None
            )
        finally:
            updating.cancel()
            with suppress(asyncio.CancelledError):
                await updating
            self.show_asking(False)
            self.show_contenders(contenders)

    async def show_answers(self, contenders: list[Contender]) -> None:
        while True:
            self.show_contenders(contenders)
            await asyncio.sleep(SHOWN)

    def show_contenders(self, contenders: list[Contender]) -> None:
        with self.client:
            for side, contender in zip(self.sides, contenders, strict=True):
                side.show(contender)

    def show_asking(self, asking: bool) -> None:
        with self.client:
            self.ask.set_visibility(not asking)
            self.end.set_visibility(asking)

    def stop(self) -> None:
        if self.comparison is not None:
            self.comparison.cancel()


class Side:
    """A column of the comparison."""

    def __init__(self, name: str, offered: list[str], model: str) -> None:
        self.model = model
        self.shown = ""
        with tag("section", "card side", aria_label=f"Answer {name}"):
            with tag("div", "row"):
                tag("label", "visually-hidden", f"Model {name}", for_=f"compare-model-{name}")
                self.select = tag("select", "input", id=f"compare-model-{name}", value=model)
                with self.select:
                    for each in offered:
                        tag("option", "", short_name(each), value=each)
                self.select.on(
                    "change", self.choose, js_handler="(event) => emit(event.target.value)"
                )
            self.facts = tag("p", "muted small-text figure", "Nothing was asked yet.")
            self.text = ui.html("", sanitize=False).classes("prose")
            self.problem = tag("p", "banner bad", role="alert")
            self.problem.set_visibility(False)

    def choose(self, event: GenericEventArguments) -> None:
        self.model = self.select.props["value"] = str(event.args)

    def show(self, contender: Contender) -> None:
        """Show an answer as it is now."""
        if contender.text != self.shown:
            self.shown = contender.text
            self.text.set_content(render(contender.text))
        first = f"{1000 * contender.first:,.0f} ms to the first token" if contender.first else ""
        rate = f"{contender.rate:.1f} tokens/s" if contender.rate else ""
        states = {
            "loading": "The model is being loaded.", "reading": "It reads the prompt.",
            "writing": "", "complete": "", "stopped": "stopped", "failed": "",
        }  # fmt: skip
        tokens = f"{contender.tokens:,} tokens" if contender.tokens else ""
        facts = (states[contender.state], first, rate, tokens)
        self.facts.set_text(" · ".join(fact for fact in facts if fact))
        self.problem.set_text(contender.reason)
        self.problem.set_visibility(bool(contender.reason))


async def build(visitor: Visitor) -> None:
    """Show the tab that the address names."""
    page = OperationsPage(visitor)
    await page.on_tab(page.tabs.chosen)


PAGE = Page("/operations", "Operations", "gauge", 50, build, style="operations.css")
