"""The presets as assistants of a server: each has its own place in Studio, and is a tool of its own for MCP clients.

    langgraph dev &
    python examples/assistants.py http://127.0.0.1:2024

Run it as often as you like: an assistant that is there is brought up to date, never doubled.
"""

import os
import sys
from uuid import NAMESPACE_URL, uuid5

from langgraph_sdk import get_sync_client

from llamaberry.presets import PRESETS

server = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLAMABERRY_SERVER", "http://127.0.0.1:2024")

# Left to itself the client sends a LangSmith key that it finds in the environment, whatever the server is.
with get_sync_client(url=server, api_key=None) as client:
    for name, preset in PRESETS.items():
        dials = preset.model_dump(exclude_unset=True)
        wanted = {
            "context": dials,
            "description": "Answers a question in turns of reasoning, with "
            + (", ".join(f"{dial}={value}" for dial, value in dials.items()) or "the default settings")
            + ".",
        }
        number = str(uuid5(NAMESPACE_URL, f"llamaberry/{name}"))  # the same on every run
        there = client.assistants.create("llamaberry", assistant_id=number, name=name, if_exists="do_nothing", **wanted)
        if {key: there[key] for key in wanted} != wanted:
            there = client.assistants.update(number, **wanted)
        print(f"{there['name']} {there['assistant_id']} version {there['version']}: {there['description']}")
