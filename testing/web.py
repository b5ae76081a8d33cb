"""The web page without a browser: its settings panel, and the views of a chat."""

from collections.abc import AsyncIterator
from typing import Any

from llamaberry.web.chat import View
from llamaberry.web.settings_form import controls, shown_value

SESSION = "one page"


def panel(**settings: Any) -> list[Any]:
    """Return the values of the settings panel with these settings."""
    return [shown_value(control) for control in controls(settings)]


async def last(views: AsyncIterator[View]) -> View:
    """Return the last view, in which nothing runs any more."""
    *_, view = [view async for view in views]
    return view


def titles(view: View) -> list[str]:
    """Return the titles of the thoughts."""
    return [message["metadata"]["title"] for message in view.messages if "metadata" in message]


def questions(view: View) -> list[str]:
    """Return the questions that the view shows."""
    return [message["content"] for message in view.messages if message["role"] == "user"]
