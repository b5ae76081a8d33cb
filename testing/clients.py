"""Third-party clients, run as their users run them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from testing.scripted_groq import ScriptedGroq

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # litellm looks up prices when it is imported
    "OPENAI_API_KEY": "any",
}


class Clients(NamedTuple):
    """A server, its scripted Groq, and a folder in which clients run."""

    address: str
    groq: ScriptedGroq
    folder: Path

    @property
    def url(self) -> str:
        """The base URL for OpenAI's clients."""
        return f"{self.address}/v1"

    def run(self, *command: str, status: int = 0, **more: str) -> str:
        """Run a program in the folder, which is its home, too; return what it prints."""
        settings = os.environ | OFFLINE | {"HOME": str(self.folder)} | more
        ran = subprocess.run(
            command, cwd=self.folder, env=settings, capture_output=True, text=True, timeout=300, check=False
        )
        output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ran.stdout + ran.stderr)
        assert ran.returncode == status, output
        return output

    def python(self, source: str) -> list[str]:
        """Run a Python program, whose `sys.argv[1]` is the base URL; return the lines that it prints."""
        (self.folder / "client.py").write_text(source, encoding="utf-8")
        return self.run(sys.executable, "-W", "ignore", "client.py", self.url).splitlines()
