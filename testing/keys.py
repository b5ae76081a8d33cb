"""A file of keys for LLAMABERRY_KEYS_FILE."""

import hashlib
from pathlib import Path

KEYS = {"anna": "anna-key-0123456789", "ann": "ann-key-0123456789"}
"""The keys by the names of their callers; one name is the beginning of the other."""


def key_line(name: str, key: str) -> str:
    """Return the line of a key."""
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def write_keys(path: Path) -> str:
    """Write the file, and return its path."""
    path.write_text("# callers\n\n" + "".join(key_line(name, key) for name, key in KEYS.items()), encoding="utf-8")
    return str(path)
