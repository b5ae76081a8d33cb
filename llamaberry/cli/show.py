"""`llamaberry show`: past runs as trees in the terminal, or as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llamaberry.cli.options import output_path
from llamaberry.cli.thread_names import complete_thread
from llamaberry.graph.errors import SetupError

if TYPE_CHECKING:
    from llamaberry.runs.past_run import Run


def show(
    thread: Annotated[
        str, typer.Argument(help="The thread, or `last` for the newest one.", autocompletion=complete_thread)
    ],
    all_: Annotated[bool, typer.Option("--all", help="All questions of the thread, not only its newest one.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page for a browser to this file.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open that page in the browser.")] = False,
) -> None:
    """Print a past run as a tree, or write it to a page.

    It shows each turn with its seconds and tokens, and how it changed the answer.
    """
    if open_ and html is None:
        raise SetupError("--open opens the page of --html: write --html FILE --open")
    if html is None:
        print_thread(thread, all_=all_)
        return
    _, runs = _load(thread, all_=all_)
    from llamaberry.folders import write_private
    from llamaberry.runs.page import page

    html = output_path(html, "--html")
    try:
        write_private(html, page(runs))
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}") from error
    typer.echo(f"written to {html}")
    if open_:
        import webbrowser

        if not webbrowser.open(html.resolve().as_uri()):
            raise SetupError(f"no browser can be opened here: open {html} yourself, or set BROWSER to a command")


def print_thread(name: str, *, all_: bool = False) -> None:
    """Print the thread's newest question, or all its questions, as trees."""
    from llamaberry.cli.tree import print_runs

    hidden, runs = _load(name, all_=all_)
    print_runs(runs, hidden)


def _load(name: str, *, all_: bool) -> "tuple[int, list[Run]]":
    """Return how many runs are left out, and the others of the thread (`last`: of the newest one), the oldest first."""
    from llamaberry.runs.past_run import read_run
    from llamaberry.threads.overview import questions

    found = questions(name, only_newest=not all_)
    return found.skipped, [read_run(found.thread, state) for state in found.states]
