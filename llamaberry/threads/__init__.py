"""The threads of the command line: where they are stored, who may use one now, what is in it."""

from llamaberry.threads.ids import keep_ids_above
from llamaberry.threads.locks import exclusive_thread, is_running
from llamaberry.threads.memory import copy_run
from llamaberry.threads.storage import (
    checkpoint_location,
    discard_since,
    open_graph,
    open_sqlite,
    require_checkpointer,
    storage_errors,
)
from llamaberry.threads.stored import (
    Status,
    Thread,
    current_values,
    find_thread,
    forget,
    list_threads,
    new_name,
    newest_name,
    newest_unfinished,
    question_states,
    thread_config,
)

__all__ = [
    "Status",
    "Thread",
    "checkpoint_location",
    "copy_run",
    "current_values",
    "discard_since",
    "exclusive_thread",
    "find_thread",
    "forget",
    "is_running",
    "keep_ids_above",
    "list_threads",
    "new_name",
    "newest_name",
    "newest_unfinished",
    "open_graph",
    "open_sqlite",
    "question_states",
    "require_checkpointer",
    "storage_errors",
    "thread_config",
]
