"""Link llamaberry/graph to graph/ and llamaberry/nodes to nodes/, so that tools find the packages by their names.

setuptools' package-dir installs the two folders as llamaberry.graph and llamaberry.nodes. Type checkers and editors
read files only, and do not know that. The links are not committed. An editable install that was made while they were
there relies on them; one that was made before does not.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("graph", "nodes")


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
    for name in PACKAGES:
        link(name)
