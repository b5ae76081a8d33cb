"""The user's own defaults: settings in config.toml, which the commands take before the built-in ones."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llamaberry.cli.option_names import OPTIONS
from llamaberry.folders import config_folder, write_private
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error

SETTINGS = [name for name in Context.model_fields if name not in ("review", "answer_schema")]
"""The settings that may have a default of the user's own; the other two belong to a question."""

_SECRET_NAME = re.compile(r"api_?key|secret|password|(^|_)(key|token)$", re.IGNORECASE)
_SECRET = re.compile(r"\b(gsk_|sk-|sk_|hf_|xai-|lsv2_|AIza)[\w-]{16,}")
_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def config_path() -> Path:
    """Return where the file is, or would be. Raises SetupError if the user has no home directory."""
    return config_folder() / "config.toml"


def user_defaults() -> dict[str, Any]:
    """Return the settings in the user's file; none without a file.

    Raises:
        SetupError: the file cannot be read, is not TOML, or has a name or a value that is no setting's.
    """
    try:
        path = config_path()
    except SetupError:  # without a home directory there is no file
        return {}
    values = _parse(path, _read(path))
    return {name: check_value(name, value, f"{path}: ") for name, value in values.items()}


def names_in_file() -> list[str]:
    """Return the names in the user's file, valid or not."""
    path = config_path()
    return list(_parse(path, _read(path)))


def check_name(name: str, where: str = "") -> None:
    """Raise SetupError unless the user may set a default of this name; `where` begins the message."""
    if name in SETTINGS:
        return
    remove = _remedy(name, where)
    if _SECRET_NAME.search(name) and name not in Context.model_fields:
        raise SetupError(f"{where}{name}: a key is no setting: export it as an environment variable{remove}")
    if name in Context.model_fields:
        raise SetupError(f"{where}{name} belongs to a question: use the option {OPTIONS[name]}{remove}")
    by_option = {option.removeprefix("--").replace("-", "_"): field for field, option in OPTIONS.items()}
    key = name.removeprefix("--").replace("-", "_")
    close = [by_option[key]] if key in by_option else difflib.get_close_matches(key, SETTINGS, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(SETTINGS)}"
    raise SetupError(f"{where}{name} is no setting: {hint}{remove}")


def check_value(name: str, value: object, where: str = "") -> Any:
    """Return the value of a setting, converted from text if necessary.

    Raises:
        SetupError: there is no such setting, the value is out of its bounds, or it holds a key.
    """
    check_name(name, where)
    remove = _remedy(name, where)
    if _SECRET.search(str(value)):
        raise SetupError(f"{where}{name} holds a key: export it as an environment variable{remove}")
    try:
        return getattr(Context.model_validate({name: value}), name)
    except ValidationError as error:
        raise SetupError(f"{where}{describe_validation_error(error, {name: name})}{remove}") from None


def _remedy(name: str, where: str) -> str:
    return f"; `llamaberry config unset {name}` removes it" if where else ""


def write_setting(name: str, value: Any) -> None:
    """Write a setting into the user's file, or remove it if `value` is None; the file's other lines stay.

    Raises:
        SetupError: the file cannot be read or written, or the setting is not on a line of its own there.
    """
    path = config_path()
    before = _read(path)
    expected = {key: old for key, old in _parse(path, before).items() if key != name}
    line = re.compile(rf"^[ \t]*{name}[ \t]*=.*\n?", re.MULTILINE)
    new = ""
    if value is not None:
        expected[name] = value
        new = f"{name} = {_toml(value)}\n"
    if line.search(before):
        after = line.sub(lambda match: new, before, count=1)
    else:
        table = _TABLE.search(before)
        head, tail = (before[: table.start()], before[table.start() :]) if table else (before, "")
        after = head + ("\n" if head and not head.endswith("\n") else "") + new + tail
    try:
        changed = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        changed = {}
    if changed != expected:
        raise SetupError(f"{path}: {name} is not on a line of its own there: edit the file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, after)
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror}): fix that, or set LLAMABERRY_HOME") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SetupError(f"{path} cannot be read ({cause}): fix that, or move it away") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{path} is not TOML ({error}): correct it, or move it away") from error


def _toml(value: Any) -> str:
    """Return a value as TOML writes it: a boolean, a number or a string as JSON does, a mapping as an inline table."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
