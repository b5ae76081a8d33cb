"""The presets as assistants of a server: each appears in Studio, and is a tool for MCP clients.

    langgraph dev &
    python examples/assistants.py http://127.0.0.1:2024

Run it as often as you like: it updates an existing assistant, and never creates it twice.
"""

import os
import sys
from uuid import NAMESPACE_URL, uuid5

from langgraph_sdk import get_sync_client

from llamaberry import PRESETS

server = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLAMABERRY_SERVER", "http://127.0.0.1:2024")

# Without `api_key=None` the client sends the LangSmith key of the environment to any server.
with get_sync_client(url=server, api_key=None) as client:
    for name, preset in PRESETS.items():
        fields = {"context": preset.context.model_dump(exclude_unset=True), "description": preset.description}
        identifier = str(uuid5(NAMESPACE_URL, f"llamaberry/{name}"))  # the same on every run
        assistant = client.assistants.create(
            "llamaberry", assistant_id=identifier, name=name, if_exists="do_nothing", **fields
        )
        if {key: assistant[key] for key in fields} != fields:
            assistant = client.assistants.update(identifier, **fields)
        print("{name} {assistant_id} version {version}: {description}".format(**assistant))
