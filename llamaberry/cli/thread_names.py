"""The names of stored threads, for the completion of a shell."""

from llamaberry.graph.errors import SetupError
from llamaberry.threads.location import checkpoint_location


def complete_thread(incomplete: str) -> list[str]:
    """Return the threads in SQLite whose names begin like this, the newest first; none if they cannot be read."""
    from llamaberry.threads.plain import thread_names

    try:
        location = checkpoint_location()
        names = thread_names(location) if location != "none" and "://" not in location else []
    except SetupError:  # a shell that completes a word is no place for a message
        return []
    return [name for name in names if name.startswith(incomplete)]
