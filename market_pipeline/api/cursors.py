"""Where the next page begins: opaque to clients, and worthless for any other request.

A cursor carries its own checksum, into which goes what was asked for, so that one which is spoilt,
or used with other filters, is refused instead of misread. It is no secret: it opens nothing.
"""

import base64
import binascii
import hashlib
import json
from typing import Any

from market_pipeline.api.errors import BadCursor

_CHECKED = 8  # bytes of the checksum
LONGEST = 200


def write(asked: Any, place: list[int]) -> str:
    """Return the cursor of a place in the answer to what is asked."""
    content = json.dumps(place).encode()
    return base64.urlsafe_b64encode(_checksum(asked, content) + content).decode().rstrip("=")


def read(asked: Any, cursor: str, size: int) -> list[int]:
    """Return the place, of so many numbers.

    Raises:
        BadCursor: it was not given out for this.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCursor from None
    checksum, content = raw[:_CHECKED], raw[_CHECKED:]
    if checksum != _checksum(asked, content) or write(asked, json.loads(content)) != cursor:
        raise BadCursor
    place: list[int] = json.loads(content)
    if len(place) != size:
        raise BadCursor
    return place


def _checksum(asked: Any, content: bytes) -> bytes:
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode())
    digest.update(content)
    return digest.digest()[:_CHECKED]
