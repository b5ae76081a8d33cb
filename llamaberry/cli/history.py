"""`llamaberry history`: the threads that are stored, or the questions of one of them."""

from typing import Annotated

import typer

from llamaberry.cli.show import show
from llamaberry.cli.thread_names import complete_thread
from llamaberry.console import as_json, one_line, plain, plain_console, print_error
from llamaberry.graph.errors import SetupError


def history(
    thread: Annotated[
        str | None,
        typer.Argument(help="One thread: print its questions, turns and answers.", autocompletion=complete_thread),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="List only the newest threads, this many.")] = None,
    search: Annotated[
        str | None, typer.Option(help="List only threads with this text in their name, question or answer.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as a JSON document.")] = False,
) -> None:
    """List the stored threads, the newest first, or print one of them."""
    if thread is None:
        _list(limit, search, json=json)
    elif limit or search or json:
        raise SetupError(f"--limit, --search and --json are for the list: leave them out, or {thread!r}")
    else:
        show(thread, all_=True)


def _list(limit: int | None, search: str | None, *, json: bool) -> None:
    """Print a line for each thread: name, time, status, newest question."""
    from llamaberry.threads.overview import summaries

    console = plain_console(soft_wrap=True)
    rows = summaries()
    if search:
        rows = [row for row in rows if any(search.casefold() in value.casefold() for value in row)]
        if not (rows or json):
            print_error(f"no thread has {one_line(search)!r} in its name, question or answer")
    rows = rows[:limit]
    if json:
        console.out(as_json({"threads": [row._asdict() for row in rows]}), highlight=False)
        return
    for row in rows:
        time = row.created_at[:16].replace("T", " ")
        parts = [plain(row.thread), time, row.status, one_line(row.question)]
        console.print(" · ".join(parts), style=None if row.status == "answered" else "yellow")
