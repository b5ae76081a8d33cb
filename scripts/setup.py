"""Set up a clone for development: the extras `dev` and `local` at their pinned versions, and the links for tools.

It installs into the active virtual environment, or makes one in .venv.
"""

import subprocess
import sys
import venv

from link import PACKAGES, ROOT, link

python = sys.executable
if sys.prefix == sys.base_prefix:
    folder = ROOT / ".venv"
    if not folder.exists():
        venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(scripts / "python")
install = ["-m", "pip", "install", "-c", "constraints.txt", "-e", ".[dev,local]"]
if failure := subprocess.run([python, *install], cwd=ROOT, check=False).returncode:
    sys.exit(failure)
for name in PACKAGES:
    link(name)
print("Done." if python == sys.executable else f"Done: activate {ROOT / '.venv'} before you run the other commands.")
