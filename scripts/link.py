"""Link llamaberry/graph to graph/ and llamaberry/nodes to nodes/, so that tools see the packages under their names.

setuptools' package-dir installs the two folders as llamaberry.graph and llamaberry.nodes. Type checkers, editors and
coverage read the folders only, and find them by the links. Nothing at run time needs them; they are not committed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def link(name: str) -> None:
    """Make llamaberry/NAME point to NAME/; do nothing if it does already."""
    target, place = ROOT / name, ROOT / "llamaberry" / name
    if place.exists() and place.samefile(target):
        return
    if sys.platform == "win32":
        import _winapi  # a junction needs no administrator rights, a symbolic link does

        _winapi.CreateJunction(str(target), str(place))
    else:
        place.symlink_to(Path("..", name))


if __name__ == "__main__":
    for name in ("graph", "nodes"):
        link(name)
