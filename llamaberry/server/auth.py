"""LangGraph's access control, named in langgraph.json. It works on LangGraph's server and on Aegra.

It covers LangGraph's API only; the Guard, which runs before every route, checks the key for the rest as well.
"""

from langgraph_sdk import Auth

from llamaberry.server.keys import INVALID_KEY, identify

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes] | dict[str, str]) -> Auth.types.MinimalUserDict:
    """Return the caller. LangGraph passes the headers as bytes, Aegra as str."""
    caller = identify({_to_bytes(name): _to_bytes(value) for name, value in headers.items()})
    if caller is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail=INVALID_KEY)
    return {"identity": caller}


def _to_bytes(header: bytes | str) -> bytes:
    return header.encode("latin-1") if isinstance(header, str) else header
