"""LangGraph's access control, named in langgraph.json. It works on LangGraph's server and on Aegra.

It covers LangGraph's API only; the Guard, which runs before every route, checks the key for the rest as well.
"""

from typing import Any

from langgraph_sdk import Auth

from llamaberry.graph.errors import SetupError
from llamaberry.server.keys import INVALID_KEY, KEYS_FILE_ERROR, OWNER, identify

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes] | dict[str, str]) -> Auth.types.MinimalUserDict:
    """Return the caller. LangGraph passes the headers as bytes, Aegra as str."""
    try:
        caller = await identify({_to_bytes(name): _to_bytes(value) for name, value in headers.items()})
    except SetupError:  # which the Guard has logged
        raise Auth.exceptions.HTTPException(status_code=503, detail=KEYS_FILE_ERROR) from None
    if caller is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail=INVALID_KEY)
    return {"identity": caller}


@auth.on
async def limit_to_own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, Any] | None:
    """Limit a caller of the file of keys to its own threads, runs, assistants, crons and items of the store.

    Their owner is in their metadata, an item's in its namespace. The assistants of the server itself are for all.
    """
    caller = ctx.user.identity
    if caller == OWNER:
        return None
    if ctx.resource == "store":
        namespace = tuple(value.get("namespace") or ())
        value["namespace"] = namespace if namespace[:1] == (caller,) else (caller, *namespace)
        return None
    if ctx.action in ("create", "create_run", "update"):
        _set_owner(value, caller)
    if ctx.resource == "assistants" and ctx.action in ("read", "search"):
        return {"$or": [{"owner": caller}, {"created_by": "system"}]}
    return {"owner": caller}


def _set_owner(value: dict[str, Any], caller: str) -> None:
    metadata = value.get("metadata")
    if metadata is None:
        metadata = value["metadata"] = {}
    if metadata.get("created_by") == "system":
        raise Auth.exceptions.HTTPException(
            status_code=403, detail="metadata: created_by 'system' marks the assistants of the server: leave it out"
        )
    metadata["owner"] = caller


def _to_bytes(header: bytes | str) -> bytes:
    return header.encode("latin-1") if isinstance(header, str) else header
