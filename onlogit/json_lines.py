"""Plain values as JSON, whatever they are nested in; what is not finite is null."""

import json
import math
from typing import Any


def finite(value: Any) -> Any:
    """The value with null for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def to_line(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(finite(value), allow_nan=False)
