"""The server's key: with LLAMABERRY_API_KEY set, every request has to send it."""

import hmac
import logging
import os
import time
from collections.abc import Mapping

INVALID_KEY = 'the key is missing or wrong: send "Authorization: Bearer …" with the LLAMABERRY_API_KEY of this server'
OWNER = "owner"
REPORT_S = 60.0

_logger = logging.getLogger("llamaberry")


def identify(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the name of the caller with these headers; None if the key is missing or wrong.

    LangGraph's SDK sends its `api_key` as `x-api-key`.
    """
    key = os.environ.get("LLAMABERRY_API_KEY", "").strip()
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    sent_key = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return OWNER if not key or hmac.compare_digest(sent_key, key.encode()) else None


class FailedLogins:
    """Logs requests with a wrong key: at most one line per REPORT_S, with their number."""

    def __init__(self) -> None:
        self._number = 0
        self._reported_at = -REPORT_S

    def count(self) -> None:
        """Count one."""
        self._number += 1
        if time.monotonic() - self._reported_at >= REPORT_S:
            _logger.warning("requests without the right key: %d", self._number)
            self._number, self._reported_at = 0, time.monotonic()
