"""LangGraph's own MCP server: it offers one tool for each assistant (docs/mcp.md: `llamaberry mcp` has a better one).

    langgraph dev &
    python examples/mcp_client.py http://127.0.0.1:2024

It needs the package `mcp`, 2 or later. A tool call cannot change settings: `python examples/assistants.py` creates a
tool for each preset.
"""

import ast
import asyncio
import os
import sys

from mcp import Client

server = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLAMABERRY_SERVER", "http://127.0.0.1:2024")


async def main() -> None:
    """List the tools, and call one."""
    async with Client(f"{server}/mcp") as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name}({', '.join(tool.input_schema['properties'])}): {tool.description}")
        result = await client.call_tool("llamaberry", {"query": "What is 17 * 23?"})
    text = result.content[0].text
    if result.is_error:
        sys.exit(f"the tool failed: {text}")
    output = ast.literal_eval(text)  # LangGraph's server writes Python's repr, not JSON
    print(f"{output['answer']} ({len(output['turns'])} turns)")


asyncio.run(main())
