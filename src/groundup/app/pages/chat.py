"""The page of conversations: what its pieces show, and what becomes of what they say."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from groundup.app.answer_path import ANSWER_PATH, own_parts
from groundup.app.answers import Changed, Progress
from groundup.app.components.chat_options import ChatOptions
from groundup.app.components.composer import Composer
from groundup.app.components.conversation_list import ConversationList
from groundup.app.components.conversation_view import ConversationView
from groundup.app.components.shortcuts import Shortcuts
from groundup.app.conversation_export import as_json, as_markdown, file_name
from groundup.app.conversation_title import title_of
from groundup.app.conversation_window import ConversationWindow
from groundup.app.element import svg, tag
from groundup.app.model_choice import short_name
from groundup.app.page import Page
from groundup.app.preferences import Limits, preferred_model, read_limits
from groundup.app.sampling_options import checked_sampling
from groundup.app.store.conversations import Conversation, Folder, NotFoundError
from groundup.app.toast import toast
from groundup.app.visitor import Visitor
from groundup.course.swap import current_swaps
from groundup.errors import GroundupError

__all__ = ["PAGE"]

FIRST_ROWS = 30  # messages that are sent before they are asked for
LIST_PAUSE = 0.2  # seconds in which changes of the list are gathered
LISTED = 200  # conversations at the side, until older ones are asked for
P = ParamSpec("P")

SHORTCUTS: list[tuple[tuple[str, ...], str | None, str]] = [
    (("Enter",), None, "Send the message"),
    (("Shift", "Enter"), None, "Begin a new line"),
    (("↑",), None, "Edit your last message (from an empty box)"),
    (("/",), "write", "Write"),
    (("Esc",), "stop", "Stop the answer"),
    (("Alt", "N"), "new", "New chat"),
    (("Alt", "K"), "search", "Search conversations"),
    (("Alt", "R"), "regenerate", "Regenerate the last answer"),
    (("Alt", "C"), "copy", "Copy the last answer"),
    (("Alt", ","), "previous", "Previous version of the last answer"),
    (("Alt", "."), "next", "Next version of the last answer"),
    (("K",), "up", "Message above"),
    (("J",), "down", "Message below"),
    (("Alt", "B"), "list", "Show or hide the conversations"),
    (("Alt", "O"), "options", "Show or hide the options"),
    (("?",), "help", "This help"),
]
IDEAS = (
    "What does attention do, in three sentences?",
    "Write a Python function that samples from logits with top-p.",
    "Why does a KV cache make generation faster?",
)


def told(
    handler: Callable[["ChatPage", dict[str, Any]], Awaitable[None]],
) -> Callable[["ChatPage", GenericEventArguments], Awaitable[None]]:
    """A handler of a component's event; what goes wrong is said to the user."""

    @wraps(handler)
    async def handle(page: "ChatPage", event: GenericEventArguments) -> None:
        try:
            await handler(page, event.args or {})
        except GroundupError as error:
            toast(page.client, str(error), "bad")

    return handle


class ChatPage:
    """One visit."""

    def __init__(
        self, visitor: Visitor, limits: Limits, model: str | None, models: list[str]
    ) -> None:
        self.app, self.user = visitor.app, visitor.user.id
        self.client = ui.context.client
        self.window: ConversationWindow | None = None  # None: a conversation that is not begun yet
        self.model, self.system = model or self.app.model, ""  # of such a one
        self.sampling: dict[str, float] = {}
        self.listed = LISTED
        self.choice = models  # to talk to
        self.offered: list[str] = []  # as they are drawn
        self.end_listening: Callable[[], None] = lambda: None
        self.reading = asyncio.Lock()
        self.stale: set[str] = set()  # what is to be read anew: "path", "list", "models"
        self.deleted = False  # the conversation, by another page

        with tag("div", "chat") as self.root:
            self.list = ConversationList()
            tag("div", "chat-shade").on("click", self.toggle_list)
            with tag("section", "chat-main", aria_label="Conversation"):
                self.draw_head()
                with tag("div", "chat-body"):
                    self.view = ConversationView()
                    self.draw_welcome()
                self.composer = Composer(limits.message_characters)
            self.options = ChatOptions()
        self.shortcuts = Shortcuts(SHORTCUTS)
        self.connect()

    def draw_head(self) -> None:
        with tag("header", "chat-head"):
            with tag("button", "icon-button", type="button", aria_label="Conversations") as button:
                svg("sidebar")
            button.on("click", self.toggle_list)
            self.title = tag("h1", "chat-title", "New chat")
            with tag("details", "path") as self.path:
                with tag("summary", "chip") as self.path_chip:
                    svg("plank")
                    self.path_count = tag("span")
                with tag("div", "path-card card"):
                    tag("p", "muted", "What an answer runs through, and whose code it is.")
                    self.path_rows = tag("ol")
                    self.path_problems = tag("p", "path-problems")
            tag("label", "visually-hidden", "Model", for_="chat-model")
            self.models = tag("select", "chat-models input", id="chat-model")
            self.models.on(
                "change",
                self.choose_model,
                js_handler="(event) => emit({model: event.target.value})",
            )
            with tag("button", "icon-button", type="button", aria_label="Keyboard") as button:
                svg("keyboard")
            button.on("click", lambda: self.shortcuts.show())
            with tag("button", "icon-button", type="button", aria_label="Options") as button:
                svg("settings")
            button.on("click", self.toggle_options)
        self.state = tag("p", "chat-state banner")

    def draw_welcome(self) -> None:
        with tag("div", "chat-welcome") as self.welcome:
            svg("mark")
            tag("h2", "", "What shall we build?")
            tag("p", "muted", "The model runs on this machine. Nothing you write leaves it.")
            with tag("div", "chat-ideas"):
                for idea in IDEAS:
                    button = tag("button", "button", idea, type="button")
                    button.on("click", lambda idea=idea: self.composer.write(idea))

    def connect(self) -> None:
        """Say who is told of what."""
        for name, handler in {
            "open": self.on_open, "new": self.on_open, "search": self.on_search,
            "rename": self.on_rename, "move": self.on_move, "export": self.on_export,
            "delete": self.on_delete, "more": self.on_more, "new-folder": self.on_new_folder,
            "rename-folder": self.on_rename_folder, "delete-folder": self.on_delete_folder,
        }.items():  # fmt: skip
            self.list.on(name, handler)
        for name, handler in {
            "need": self.on_need, "edit": self.on_edit, "regenerate": self.on_regenerate,
            "branch": self.on_branch, "rate": self.on_rate,
        }.items():  # fmt: skip
            self.view.on(name, handler)
        self.composer.on("send", self.on_send)
        self.composer.on("stop", self.stop)
        self.composer.on("edit-last", lambda: self.view.run_method("editLast"))
        self.options.on("change", self.on_options)
        self.options.on("close", self.toggle_options)
        self.options.on("export-preferences", self.on_export_preferences)
        self.shortcuts.on("action", self.on_action)
        ends = [
            self.app.answers.changes.listen(self.user, lambda _: self.renew("list")),
            self.app.models.on_change(lambda: self.renew("models")),
        ]
        for end in ends:
            self.client.on_delete(end)
        self.client.on_delete(lambda: self.end_listening())

    # --- what is shown

    async def show(self, conversation: str, *, push: bool = True) -> None:
        """Show a conversation; an empty id is one that is not begun.

        Raises:
            NotFoundError: the user has no such conversation.
        """
        async with self.reading:
            window = None
            if conversation:
                store = self.app.store.conversations
                found = await asyncio.to_thread(store.get, self.user, conversation)
                window = ConversationWindow(self.app.store, self.app.answers, self.user, found)
                await window.read()
            self.end_listening()
            if window is not None:
                # Nothing is missed from here on: what happens meanwhile marks it as stale.
                changes = self.app.answers.changes
                self.end_listening = changes.listen(window.conversation.id, self.on_change)
            self.window = window
            self.view.generation += 1
            count = len(window.path) if window else 0
            newest = range(max(0, count - FIRST_ROWS), count)
            rows = await window.rows(newest) if window else []
            self.view.show_path(0, count, rows)
            if push:
                ui.navigate.history.push(f"/chat/{conversation}" if conversation else "/chat")
        self.show_frame()

    def show_frame(self) -> None:
        """Show what stands around the messages."""
        window = self.window
        title = window.conversation.title if window else "New chat"
        model = window.conversation.model if window else self.model
        self.title.set_text(title)
        self.welcome.set_visibility(window is None)
        self.list.select(window.conversation.id if window else "")
        self.composer.show(
            conversation=window.conversation.id if window else "",
            model=short_name(model),
            streaming=window is not None and window.streaming,
        )
        system = window.conversation.system if window else self.system
        sampling = window.conversation.sampling if window else self.sampling
        self.options.show(system, sampling, len(window.ratings) if window else 0)
        self.show_models(model)
        shown = json.dumps(f"{title if window else PAGE.title} · groundup")
        self.client.run_javascript(f"document.title = {shown}")

    def show_models(self, chosen: str) -> None:
        names = list(dict.fromkeys([*self.choice, chosen]))
        if names != self.offered:
            self.offered = names
            self.models.clear()
            with self.models:
                for name in names:
                    tag("option", "", short_name(name), value=name)
        self.models.props["value"] = chosen
        state, reason = self.app.models.state(chosen), self.app.models.reason(chosen)
        failed = state == "failed" or (state == "starting" and reason)
        self.state.set_text(f"{short_name(chosen)}: {reason}" if failed else "")
        self.state.set_visibility(bool(failed))
        self.state.classes("bad" if state == "failed" else "warn", remove="bad warn")

    async def show_path(self) -> None:
        """Show which parts of the answer's path are the learner's."""
        swaps = await asyncio.to_thread(current_swaps)
        own, problems = own_parts([part.id for part in swaps.parts]), swaps.problems
        self.path_count.set_text(f"{len(own)} of {len(ANSWER_PATH)} yours")
        self.path_chip.classes("yours" if own else "", remove="yours")
        self.path_problems.set_text(" ".join(problems))
        self.path_rows.clear()
        with self.path_rows:
            for part, work in ANSWER_PATH.items():
                with tag("li"):
                    tag("a", "", part, href=f"/labs/{part}")
                    tag("span", "muted grow", work)
                    mine = part in own
                    tag("span", "chip yours" if mine else "chip", "yours" if mine else "reference")

    async def show_list(self) -> None:
        def read() -> tuple[list[Conversation], list[Folder]]:
            store = self.app.store.conversations
            return store.all(self.user), store.folders(self.user)

        conversations, folders = await asyncio.to_thread(read)
        self.list.show(
            conversations[: self.listed],
            folders,
            streaming=self.app.answers.conversations(),
            more=len(conversations) > self.listed,
        )

    # --- what changes by itself

    def on_change(self, event: Progress | Changed) -> None:
        if isinstance(event, Progress):
            self.view.show_progress(event)
        else:
            self.renew("path")

    def renew(self, what: str) -> None:
        """Read something anew, soon: changes that come together are read together."""
        if what not in self.stale:
            self.stale.add(what)
            background_tasks.create(self.read_anew(what), name=f"chat page: {what}")

    async def read_anew(self, what: str) -> None:
        await asyncio.sleep(LIST_PAUSE if what == "list" else 0)
        async with self.reading:
            self.stale.discard(what)
            if what == "list":
                await self.show_list()
                return
            if what == "models":
                await self.show_path()
            elif self.window is not None and not await self.read_window(self.window):
                self.window = None
                self.deleted = True
        with self.client:
            if self.deleted:
                self.deleted = False
                await self.show("")
                toast(self.client, "The conversation was deleted.")
            else:
                self.show_frame()

    async def read_window(self, window: ConversationWindow) -> bool:
        """Show what has become of a conversation; false if it is not there any more."""
        try:
            difference = await window.read()
        except NotFoundError:
            return False
        newest = range(max(difference.keep, difference.count - FIRST_ROWS), difference.count)
        rows = await window.rows([*difference.changed[-FIRST_ROWS:], *newest])
        self.view.show_path(difference.keep, difference.count, rows)
        return True

    def tell(self, conversation: str) -> None:
        """All pages that show a conversation are to read it anew, and those that list it."""
        for topic in (conversation, self.user):
            self.app.answers.changes.tell(topic, Changed(conversation))

    # --- messages

    async def on_send(self, event: GenericEventArguments) -> None:
        try:
            await self.send(str(event.args["text"]))
        except GroundupError as error:
            self.composer.refused(str(error))

    async def send(self, text: str) -> None:
        answers = self.app.answers
        text = await answers.checked(self.user, text)
        if self.window is not None:
            head = self.window.head
            await answers.ask(
                self.user, self.window.conversation.id, text, head.id if head else None
            )
            self.composer.sent()
            self.view.run_method("follow")
            return
        conversation = await asyncio.to_thread(
            self.app.store.conversations.create,
            self.user,
            title=title_of(text),
            model=self.model,
            system=self.system,
            sampling=self.sampling,
        )
        await answers.ask(self.user, conversation.id, text, None)
        self.composer.sent()
        await self.show(conversation.id)

    def stop(self) -> None:
        if self.window is not None and self.window.head is not None:
            self.app.answers.stop(self.window.head.id)

    @told
    async def on_need(self, given: dict[str, Any]) -> None:
        window, generation = self.window, self.view.generation
        if window is not None and given["generation"] == generation:
            rows = await window.rows(range(int(given["start"]), int(given["end"])))
            if self.view.generation == generation:
                self.view.show_rows(rows)

    @told
    async def on_edit(self, given: dict[str, Any]) -> None:
        if self.window is not None:
            message = self.window.message(given["id"])
            conversation = self.window.conversation.id
            await self.app.answers.ask(
                self.user, conversation, str(given["text"]), message.parent_id
            )
            self.view.run_method("follow")

    @told
    async def on_regenerate(self, given: dict[str, Any]) -> None:
        if self.window is not None:
            message = self.window.message(given["id"])
            if message.role == "assistant" and message.parent_id is not None:
                message = self.window.message(message.parent_id)
            await self.app.answers.answer(self.user, message)

    @told
    async def on_branch(self, given: dict[str, Any]) -> None:
        if self.window is not None:
            message = self.window.message(given["id"])
            at = message.siblings.index(message.id) + int(given["step"])
            if 0 <= at < len(message.siblings):
                conversation = self.window.conversation.id
                set_head = self.app.store.messages.set_head
                await asyncio.to_thread(set_head, self.user, conversation, message.siblings[at])
                self.tell(conversation)

    @told
    async def on_rate(self, given: dict[str, Any]) -> None:
        if self.window is not None:
            rate = self.app.store.ratings.rate
            await asyncio.to_thread(rate, self.user, given["id"], given["value"] or 0)
            self.tell(self.window.conversation.id)

    # --- conversations

    @told
    async def on_open(self, given: dict[str, Any]) -> None:
        self.root.classes(remove="list-shown")
        await self.show(str(given.get("id") or ""), push=not given.get("back"))
        self.composer.focus()

    @told
    async def on_search(self, given: dict[str, Any]) -> None:
        query = str(given["query"])
        search = self.app.store.conversations.search
        self.list.show_found(query, await asyncio.to_thread(search, self.user, query))

    @told
    async def on_more(self, given: dict[str, Any]) -> None:
        self.listed += 10 * LISTED
        self.renew("list")

    @told
    async def on_rename(self, given: dict[str, Any]) -> None:
        await self.change("rename", given["id"], str(given["title"]))

    @told
    async def on_move(self, given: dict[str, Any]) -> None:
        await self.change("move", given["id"], given["folder"])

    @told
    async def on_delete(self, given: dict[str, Any]) -> None:
        await self.change("delete", given["id"])
        self.app.answers.stop_in(given["id"])

    @told
    async def on_new_folder(self, given: dict[str, Any]) -> None:
        await self.change("create_folder", str(given["name"]))

    @told
    async def on_rename_folder(self, given: dict[str, Any]) -> None:
        await self.change("rename_folder", given["id"], str(given["name"]))

    @told
    async def on_delete_folder(self, given: dict[str, Any]) -> None:
        await self.change("delete_folder", given["id"])

    async def change(self, method: str, id: str, *values: Any) -> None:
        """Call a method of the store's conversations, and tell all pages."""
        await asyncio.to_thread(
            getattr(self.app.store.conversations, method), self.user, id, *values
        )
        self.tell(id)

    @told
    async def on_export(self, given: dict[str, Any]) -> None:
        store, id = self.app.store, given["id"]

        def export() -> tuple[str, str]:
            conversation = store.conversations.get(self.user, id)
            if given["format"] == "json":
                tree, ratings = store.messages.tree(self.user, id), store.ratings.of(self.user, id)
                return as_json(conversation, tree, ratings), file_name(conversation, "json")
            path = store.messages.path(self.user, id)
            return as_markdown(conversation, path), file_name(conversation, "md")

        text, name = await asyncio.to_thread(export)
        ui.download.content(text, name)

    @told
    async def on_export_preferences(self, given: dict[str, Any]) -> None:
        pairs = await asyncio.to_thread(
            lambda: list(self.app.store.ratings.preference_pairs(self.user))
        )
        if not pairs:
            raise GroundupError(
                "there are no pairs yet: regenerate an answer, then rate one good and the other bad"
            )
        ui.download.content("".join(f"{pair}\n" for pair in pairs), "preferences.jsonl")

    # --- options

    async def configure(self, model: str, system: str, sampling: dict[str, float]) -> None:
        """Take up other options: of the conversation, or of the one that is to be begun."""
        if self.window is None:
            self.model, self.system, self.sampling = model, system, sampling
            self.show_frame()
            return
        id = self.window.conversation.id
        await asyncio.to_thread(
            lambda: self.app.store.conversations.configure(
                self.user, id, model=model, system=system, sampling=sampling
            )
        )
        self.tell(id)

    async def on_options(self, event: GenericEventArguments) -> None:
        model = self.window.conversation.model if self.window else self.model
        try:
            sampling = checked_sampling(event.args["sampling"])
            await self.configure(model, str(event.args["system"])[:20_000], sampling)
        except GroundupError as error:
            self.options.refused(str(error))

    @told
    async def choose_model(self, given: dict[str, Any]) -> None:
        of = self.window.conversation if self.window else self
        if given["model"] not in self.offered:
            raise GroundupError("this model is not offered here: reload the page")
        await self.configure(str(given["model"]), of.system, of.sampling)

    # --- the frame

    def toggle_list(self) -> None:
        # A wide page has the conversations until they are hidden; a narrow one shows them over it.
        self.root.classes(toggle="list-hidden list-shown")

    def toggle_options(self) -> None:
        self.root.classes(toggle="options-open")

    async def on_action(self, event: GenericEventArguments) -> None:
        view, action = self.view.run_method, event.args["action"]
        if action == "new":
            await self.show("")
            self.composer.focus()
            return
        actions: dict[str, Callable[[], object]] = {
            "write": self.composer.focus,
            "stop": self.stop,
            "search": self.list.focus_search,
            "regenerate": lambda: view("regenerateLast"),
            "copy": lambda: view("copyLast"),
            "previous": lambda: view("branchLast", -1),
            "next": lambda: view("branchLast", 1),
            "up": lambda: view("step", -1),
            "down": lambda: view("step", 1),
            "list": self.toggle_list,
            "options": self.toggle_options,
        }
        actions[action]()


async def build(visitor: Visitor) -> None:
    """Show the conversation that the address names."""
    app, user = visitor.app, visitor.user.id
    limits = await asyncio.to_thread(read_limits, app.store)
    model = await asyncio.to_thread(preferred_model, app.store, user)
    page = ChatPage(visitor, limits, model, await asyncio.to_thread(app.offered_models))
    try:
        await page.show(visitor.rest, push=False)
    except NotFoundError as error:
        await page.show("")
        toast(page.client, str(error), "bad")
    await page.show_list()
    await page.show_path()


PAGE = Page("/chat", "Chat", "chat", 10, build, style="chat.css")
