"""`llamaberry config`: the user's own defaults."""

from typing import Annotated, Literal

import typer

from llamaberry.cli.options import read_pairs
from llamaberry.cli.user_config import (
    SETTINGS,
    check_name,
    check_value,
    config_path,
    names_in_file,
    user_defaults,
    write_setting,
)
from llamaberry.console import as_json, one_line, plain_console
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError


def config(
    action: Annotated[
        Literal["set", "unset"] | None,
        typer.Argument(help="`set` writes a default, `unset` removes it; without it, all settings are listed."),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="A setting, such as max_turns.")] = None,
    value: Annotated[
        str | None, typer.Argument(help="Its value; of instructions: STEP=TEXT, or STEP=@FILE to read a file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as a JSON document.")] = False,
) -> None:
    """Print the settings in effect, or set a default of your own.

    An option wins over your default, and that over the built-in one. Your defaults count for ask, chat, compare, batch,
    mcp and web.
    """
    if action is None:
        _list(json=json)
        return
    if name is None or (value is None) == (action == "set"):
        usage = "config set NAME VALUE" if action == "set" else "config unset NAME"
        raise SetupError(f"write `llamaberry {usage}`; `llamaberry config` lists the names")
    if action == "unset":
        if name not in names_in_file():
            check_name(name)
            typer.echo(f"{name} is not in {config_path()}")
            return
        write_setting(name, None)
        typer.echo(f"removed {name} from {config_path()}")
        return
    check_name(name)
    given: object = value
    if name == "instructions":
        given = user_defaults().get(name, {}) | read_pairs([str(value)], "instructions")
    checked = check_value(name, given)
    write_setting(name, checked)
    typer.echo(f"{name} = {one_line(_shown(checked))} in {config_path()}")


def _list(*, json: bool) -> None:
    """Print the path of the file, and each setting with its value and where that comes from."""
    path, own = config_path(), user_defaults()
    built_in = Context()
    rows = [
        {
            "name": name,
            "value": own.get(name, getattr(built_in, name)),
            "source": "config file" if name in own else "built in",
        }
        for name in SETTINGS
    ]
    console = plain_console(soft_wrap=True)
    if json:
        console.out(as_json({"path": str(path), "exists": path.exists(), "settings": rows}), highlight=False)
        return
    console.print(str(path) if path.exists() else f"{path} (there is no such file yet)")
    width = max(map(len, SETTINGS))
    for row in rows:
        own_style = "bold" if row["source"] == "config file" else None
        value = one_line(_shown(row["value"]))
        console.print(f"{row['name']:{width}}  {value} · {row['source']}", style=own_style)


def _shown(value: object) -> str:
    """Return a value as it is written after `config set`."""
    if value in (None, {}):
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
