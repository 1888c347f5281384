"""What makes two records the same: a digest of what they say."""

import hashlib
import json
from typing import Any


def identity_of(content: Any) -> str:
    """SHA-256, in hexadecimal, of a JSON value written one way: keys sorted, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
