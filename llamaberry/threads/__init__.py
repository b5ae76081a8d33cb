"""The threads of the command line: where they are stored, who may use one now, what is in it.

The names are loaded when they are first used: what reads the files alone does not wait for LangGraph.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llamaberry.threads.ids import keep_ids_above as keep_ids_above
    from llamaberry.threads.location import checkpoint_location as checkpoint_location
    from llamaberry.threads.location import new_name as new_name
    from llamaberry.threads.locks import exclusive_thread as exclusive_thread
    from llamaberry.threads.locks import is_running as is_running
    from llamaberry.threads.memory import copy_run as copy_run
    from llamaberry.threads.storage import discard_since as discard_since
    from llamaberry.threads.storage import forget_steps as forget_steps
    from llamaberry.threads.storage import open_graph as open_graph
    from llamaberry.threads.storage import open_sqlite as open_sqlite
    from llamaberry.threads.storage import require_checkpointer as require_checkpointer
    from llamaberry.threads.storage import storage_errors as storage_errors
    from llamaberry.threads.stored import Thread as Thread
    from llamaberry.threads.stored import current_values as current_values
    from llamaberry.threads.stored import find_thread as find_thread
    from llamaberry.threads.stored import forget as forget
    from llamaberry.threads.stored import list_threads as list_threads
    from llamaberry.threads.stored import newest_name as newest_name
    from llamaberry.threads.stored import newest_unfinished as newest_unfinished
    from llamaberry.threads.stored import question_states as question_states
    from llamaberry.threads.stored import thread_config as thread_config

_MODULES = {
    "ids": ("keep_ids_above",),
    "location": ("checkpoint_location", "new_name"),
    "locks": ("exclusive_thread", "is_running"),
    "memory": ("copy_run",),
    "storage": ("discard_since", "forget_steps", "open_graph", "open_sqlite", "require_checkpointer", "storage_errors"),
    "stored": (
        *("Thread", "current_values", "find_thread", "forget", "list_threads", "newest_name"),
        *("newest_unfinished", "question_states", "thread_config"),
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"llamaberry.threads.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'llamaberry.threads' has no attribute {name!r}")
