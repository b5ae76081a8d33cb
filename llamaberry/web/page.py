"""The page: a chat in the middle, the threads on its left, the settings on its right."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from llamaberry.web.chat import Chat, Phase, View
from llamaberry.web.escape import question_text
from llamaberry.web.settings_form import Control, controls, shown_value
from llamaberry.web.style import CLOSE_ON_PHONE, INTRODUCTION, IS_WIDE, TOGGLE_DARK

EXAMPLES = (
    "A rectangle is 8 cm by 5 cm. What is its perimeter?",
    "How many days are there between 14 March and 2 November?",
    "Which weighs more: a litre of ice or a litre of water, and why?",
)
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
"""Gradio renders it in the browser, with fonts of its own package."""

Updates = dict[Any, Any]


class Page:
    """The components of the page, and what connects them with the chat."""

    def __init__(self, chat: Chat, settings: Mapping[str, Any]) -> None:
        self._chat = chat
        with gr.Blocks(title="Llamaberry", analytics_enabled=False, fill_height=True, fill_width=True) as self.blocks:
            self._thread = gr.State(None)
            with gr.Sidebar(position="left", width=300, open=False, elem_id="threads") as sidebar:
                self._new = gr.Button("New chat", size="sm", variant="primary")
                self._threads = gr.Radio(label="Threads", choices=[], interactive=True, elem_id="thread-list")
                self._refresh = gr.Button("Refresh the list", size="sm", variant="secondary")
                self._dark = gr.Button("Light or dark", size="sm", variant="secondary")
            with gr.Sidebar(position="right", width=340, open=False, elem_id="settings"):
                gr.Markdown("### Settings")
                self._settings = _settings_panel(controls(settings))
            with gr.Column(elem_id="center", scale=1):
                self._messages = gr.Chatbot(
                    show_label=False,
                    container=False,
                    scale=1,
                    height="100%",
                    elem_id="chat",
                    layout="panel",
                    editable="user",
                    buttons=["copy"],
                    latex_delimiters=LATEX,
                    group_consecutive_messages=True,
                    allow_tags=False,
                    allow_file_downloads=False,
                    placeholder=INTRODUCTION,
                    examples=[{"text": question} for question in EXAMPLES],
                )
                with gr.Group(visible=False, elem_id="review") as self._review:
                    with gr.Row():
                        self._hint = gr.Textbox(label="A hint for the next step", lines=1, max_lines=4)
                        self._answer = gr.Textbox(label="Another answer", lines=1, max_lines=4)
                    with gr.Row():
                        self._decide = gr.Button("Continue", variant="primary", size="sm")
                        self._decide_stop = gr.Button("No further turn", variant="secondary", size="sm")
                self._resume = gr.Button("Continue", visible=False, size="sm", elem_id="resume")
                self._question = gr.Textbox(
                    placeholder="Ask a question",
                    show_label=False,
                    lines=1,
                    max_lines=8,
                    autofocus=True,
                    submit_btn=True,
                    elem_id="question",
                    max_length=200_000,
                )
            self._connect()
            is_wide = gr.Checkbox(visible=False)
            self.blocks.load(lambda wide: gr.update(open=wide), is_wide, sidebar, js=IS_WIDE, api_visibility="private")
        self.blocks.queue(default_concurrency_limit=None, api_open=False)

    def _connect(self) -> None:
        outputs = [
            self._messages,
            self._thread,
            self._question,
            self._review,
            self._answer,
            self._hint,
            self._resume,
            self._threads,
            self._new,
        ]
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        run: dict[str, Any] = {"outputs": outputs, "concurrency_limit": None, **hidden}
        inputs: Any = [self._thread, *self._settings]

        def connect(event: Callable[..., Any], handler: Any, first: Sequence[Any]) -> None:
            event(handler, [*first, *inputs], **run).then(self._list, self._thread, self._threads, **hidden)

        connect(self._question.submit, self._ask, [self._question])
        connect(self._messages.example_select, self._ask_example, [])
        connect(self._messages.edit, self._edit, [])
        connect(self._decide.click, self._continue_review, [self._hint, self._answer])
        connect(self._decide_stop.click, self._stop_review, [self._hint, self._answer])
        connect(self._resume.click, self._resume_run, [])
        self._question.stop(self._stop, None, None, **hidden)
        self._threads.input(self._open, self._threads, outputs, **hidden)
        gr.on([self._threads.input, self._new.click], None, None, None, js=CLOSE_ON_PHONE)
        self._new.click(self._open_new, None, outputs, **hidden)
        self._refresh.click(self._list, self._thread, self._threads, **hidden)
        self._dark.click(None, None, None, js=TOGGLE_DARK)
        self.blocks.load(self._list, self._thread, self._threads, **hidden)
        self.blocks.unload(self._leave)

    # Gradio passes the request and the event's data by position: they come first, before the values.

    async def _ask(self, request: gr.Request, question: str, thread: str | None, *values: Any) -> AsyncGenerator[Any]:
        if not question.strip():
            yield {self._question: gr.update()}
            return
        async for view in self._chat.ask(_session(request), thread, question, values):
            yield self._updates(view)

    async def _ask_example(
        self, request: gr.Request, example: gr.SelectData, thread: str | None, *values: Any
    ) -> AsyncGenerator[Any]:
        async for view in self._chat.ask(_session(request), thread, example.value["text"], values):
            yield self._updates(view)

    async def _edit(
        self, request: gr.Request, edit: gr.EditData, thread: str | None, *values: Any
    ) -> AsyncGenerator[Any]:
        index = edit.index[0] if isinstance(edit.index, tuple | list) else edit.index
        async for view in self._chat.edit(_session(request), thread, index, question_text(edit.value), values):
            yield self._updates(view)

    async def _continue_review(
        self, request: gr.Request, hint: str, answer: str, thread: str, *values: Any
    ) -> AsyncGenerator[Any]:
        async for view in self._chat.decide(_session(request), thread, "continue", hint, answer, values):
            yield self._updates(view)

    async def _stop_review(
        self, request: gr.Request, hint: str, answer: str, thread: str, *values: Any
    ) -> AsyncGenerator[Any]:
        async for view in self._chat.decide(_session(request), thread, "stop", hint, answer, values):
            yield self._updates(view)

    async def _resume_run(self, request: gr.Request, thread: str, *values: Any) -> AsyncGenerator[Any]:
        async for view in self._chat.resume(_session(request), thread, values):
            yield self._updates(view)

    async def _stop(self, request: gr.Request) -> None:
        await self._chat.stop(_session(request))

    async def _leave(self, request: gr.Request) -> None:
        await self._chat.stop(_session(request))

    async def _open(self, thread: str) -> Updates:
        return self._updates(await self._chat.open(thread))

    async def _open_new(self) -> Updates:
        return {**self._updates(View()), self._threads: gr.update(value=None)}

    async def _list(self, thread: str | None) -> Any:
        threads = await self._chat.list_threads()
        names = [name for name, _ in threads]
        return gr.update(choices=[(label, name) for name, label in threads], value=thread if thread in names else None)

    def _updates(self, view: View) -> Updates:
        """Return what each component shows in this view."""
        running = view.phase == "running"
        return {
            self._messages: [*view.messages],
            self._thread: view.thread,
            self._question: _question_box(view.phase),
            self._review: gr.update(visible=view.phase == "paused"),
            self._hint: "",
            self._answer: "",
            self._resume: gr.update(visible=view.phase == "unfinished"),
            self._threads: gr.update(interactive=not running),
            self._new: gr.update(interactive=not running),
        }


def _question_box(phase: Phase) -> Any:
    if phase == "running":
        return gr.update(value="", submit_btn=False, stop_btn=True, placeholder="The answer is being written")
    placeholder = "First decide on the turn above" if phase == "paused" else "Ask a question"
    return gr.update(submit_btn=True, stop_btn=False, interactive=phase != "paused", placeholder=placeholder)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _settings_panel(panel: Sequence[Control]) -> list[Any]:
    """Show the controls, most of them folded, and return their components in the same order."""
    components = [_component(control) for control in panel if control.is_first]
    with gr.Accordion("More settings", open=False):
        components += [_component(control) for control in panel if not control.is_first]
    return components


def _component(control: Control) -> Any:
    name = "-".join(filter(None, [control.field, control.key]))
    shared: dict[str, Any] = {"label": control.title, "info": control.info, "value": shown_value(control)}
    shared["elem_id"] = f"setting-{name}"
    match control.kind:
        case "choice":
            return gr.Dropdown(choices=[*control.choices], filterable=False, **shared)
        case "switch":
            return gr.Checkbox(**shared)
        case "slider":
            return gr.Slider(control.minimum, control.maximum, step=1 if control.integer else 0.1, **shared)
        case "text" | "number":  # Gradio's own field of a number has 0 for none
            return gr.Textbox(lines=1, max_lines=1, **shared)
        case "lines" | "json":
            return gr.Textbox(lines=3, max_lines=10, **shared)


def theme() -> gr.themes.Base:
    """Return the theme: the system's fonts, so that none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
