"""Clients of the server's /mcp."""

from importlib.util import find_spec

import pytest

from testing.clients import Clients

pytestmark = pytest.mark.clients
FASTMCP = """\
import asyncio
import sys
from fastmcp import Client


async def main():
    async with Client(sys.argv[1].removesuffix("/v1") + "/mcp") as client:
        print([tool.name for tool in await client.list_tools()])
        result = await client.call_tool("llamaberry", {"query": "What is 6 times 7?"})
        print("The answer is 42." in result.content[0].text)


asyncio.run(main())
"""


@pytest.mark.skipif(find_spec("fastmcp") is None, reason="fastmcp is not installed")
def test_fastmcp_lists_and_calls_the_tool(clients: Clients) -> None:
    assert clients.python(FASTMCP) == ["['llamaberry']", "True"]
