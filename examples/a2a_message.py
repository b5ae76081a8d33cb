"""Llamaberry as an A2A agent: two messages of the protocol, by plain HTTP.

langgraph dev &
python examples/a2a_message.py http://127.0.0.1:2024
"""

import os
import sys
from typing import Any
from uuid import uuid4

import httpx

server = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLAMABERRY_SERVER", "http://127.0.0.1:2024")

card = httpx.get(f"{server}/.well-known/agent-card.json").json()
print(f"{card['name']}: {card['description']}")


def send(text: str, **more: str) -> dict[str, Any]:
    """Send a message, and return the finished task."""
    message = {"role": "user", "messageId": str(uuid4()), "parts": [{"kind": "text", "text": text}], **more}
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
    reply = httpx.post(card["url"], json=body, timeout=600).json()
    if "error" in reply:
        sys.exit(f"the agent returned an error: {reply['error']['message']}")
    task: dict[str, Any] = reply["result"]
    if task["status"]["state"] != "completed":
        sys.exit(f"the task is {task['status']['state']}: {task['status'].get('message')}")
    print(f"{text} {task['artifacts'][0]['parts'][0]['text']}")
    return task


first = send("What is the capital of Australia?")
send("And how many people live there?", contextId=first["contextId"])  # the same conversation
