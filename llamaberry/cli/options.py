"""What several commands share: options generated from Context's fields, and how a question is read."""

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from llamaberry.cli.attachments import read_text
from llamaberry.cli.option_names import OPTIONS, option_names
from llamaberry.cli.user_config import user_defaults
from llamaberry.folders import expand_user
from llamaberry.graph.answer_schema import to_json_schema
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error

Show = Literal["turns", "full", "concise"]
OutputMode = Show | Literal["quiet", "json"]
"""What is printed: "full" or "concise": a line for each turn, then the answer or the concise answer; "turns": also the
replies as they are written; "quiet": only the answer; "json": the graph's output as one document."""

QuestionArgument = Annotated[str, typer.Argument(help="The question, or - to read it from standard input.")]
ShowOption = Annotated[
    Show,
    typer.Option(
        "--show", help="A line for each turn and the answer, the concise answer, or also the turns as they are written."
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the reasoning of the turns while they are written.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the answer.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the graph's output as one JSON document.")]
TraceOption = Annotated[bool, typer.Option("--trace", help="Print where the trace is to standard error.")]
AcceptDegradedOption = Annotated[
    bool, typer.Option("--accept-degraded", help="Exit with 0 instead of 3 if a failed call cost a turn.")
]

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def context_options(
    *, exclude: Collection[str] = (), context: type[Context] = Context, user_config: bool = True
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command an option for each field of Context, except those in `exclude`.

    The command gets the ones that the user gave as `settings`, and with `user_config` those of the user's file. An
    invalid setting or question becomes a SetupError that names the option. `review` is always left out: a person can
    only be asked where the command says so.
    """
    fields = {name: field for name, field in context.model_fields.items() if name not in (*exclude, "review")}

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def run(**arguments: Any) -> int:
            settings = {name: arguments.pop(name) for name in fields}
            settings = {name: value for name, value in settings.items() if value not in (None, [])}
            for name in settings:
                if get_origin(fields[name].annotation) is dict:
                    settings[name] = read_pairs(settings[name], option_names(name)[0])
            if "answer_schema" in settings:
                settings["answer_schema"] = _read_schema(settings["answer_schema"], option_names("answer_schema")[0])
            if user_config:
                settings = {name: value for name, value in user_defaults().items() if name in fields} | settings
            try:
                return command(**arguments, settings=settings)
            except ValidationError as error:
                raise SetupError(describe_validation_error(error, OPTIONS)) from None

        own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "settings"]
        options = [_option(name, field) for name, field in fields.items()]
        vars(run)["__signature__"] = inspect.Signature([*own, *options])  # typer reads it
        return run

    return decorate


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    names = list(option_names(name))
    kind: Any = field.annotation
    if get_origin(kind) is dict:
        kind = list[str]
    if kind is bool:
        names[0] += f"/--no-{names[0].removeprefix('--')}"
    if name == "answer_schema":
        kind = str
    shown = "STEP=TEXT|STEP=@FILE" if kind == list[str] else "FILE" if name == "answer_schema" else None
    option = typer.Option(None, *names, help=_help(field), show_default=False, metavar=shown)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


def _help(field: FieldInfo) -> str:
    """Return the field's description with its default (unless it is None, False or a long text) and its bounds."""
    bounds = [
        f"{words} {getattr(limit, kind)}"
        for limit in field.metadata
        for kind, words in _BOUNDS.items()
        if hasattr(limit, kind)
    ]
    default = f"default: {field.default}" if field.default and "\n" not in str(field.default) else ""
    facts = "; ".join(filter(None, [default, ", ".join(bounds)]))
    return f"{field.description} [{facts}]" if facts else field.description or ""


def read_pairs(words: list[str], option: str) -> dict[str, str]:
    """Return the texts of an option that may be repeated, by step: `STEP=TEXT`, or `STEP=@FILE` to read a file.

    Raises:
        SetupError: there is no "=", or the file cannot be read.
    """
    pairs = {}
    for word in words:
        step, equals, text = word.partition("=")
        if not equals:
            raise SetupError(f"{option} {word!r} has no =: write STEP=TEXT, or STEP=@FILE to read a file")
        if text.startswith("@"):
            path = expand_user(Path(text[1:]), option)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise SetupError(f"{option}: {path} cannot be read ({cause})") from error
        pairs[step.strip()] = text
    return pairs


def _read_schema(name: str, option: str) -> dict[str, Any]:
    """Return the JSON schema in a file.

    Raises:
        SetupError: it cannot be read, or is no JSON schema.
    """
    path = expand_user(Path(name), option)
    try:
        schema = from_json(path.read_bytes(), allow_inf_nan=False)
        if not (isinstance(schema, dict) and to_json_schema(schema)):
            raise ValueError("it should be a JSON object that is not empty")
    except OSError as error:
        raise SetupError(f"{option} {path}: it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SetupError(f"{option} {path}: {error}: write a JSON schema into it") from error
    return schema


def output_mode(show: Show, *, verbose: bool, quiet: bool, json: bool) -> OutputMode:
    """Return what the options for the output ask for."""
    return "json" if json else "quiet" if quiet else "turns" if verbose else show


def output_path(path: Path, name: str) -> Path:
    """Return the path of an output, with a leading `~/` or `~user/` replaced; `name` is the option's.

    Raises:
        SetupError: there is no such user. Otherwise a folder of that name would be created.
    """
    return expand_user(path, name) if len(path.parts) > 1 else path


def check_thread_name(name: str | None) -> None:
    """Raise SetupError if a thread could not be listed under this name; None is no name."""
    if name is not None and not (name.strip() and name.isprintable()):
        raise SetupError(f"--thread {name!r}: a name has a letter at least, and no line break or control character")


def read_question(argument: str) -> str:
    """Return the question: the argument, or standard input if it is a dash.

    Raises:
        SetupError: it is not text.
    """
    question = read_text() if argument == "-" else argument
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in question):
        raise SetupError("the question is not text in UTF-8: save it as UTF-8, and ask again")
    return question
