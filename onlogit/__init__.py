"""onlogit: online logistic regression for event streams, with honest probabilities and alarms.

The names below are loaded when they are first used: `import onlogit` compiles nothing and imports no Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from onlogit.config import BeliefConfig, Config, LabelConfig, MonitorConfig, SgdConfig
    from onlogit.errors import DataError, OnlogitError
    from onlogit.model import OnlineLogit, load
    from onlogit.monitor import Alarm, CalibrationMonitor
    from onlogit.schema import Schema
    from onlogit.steps import Step
    from onlogit.streams import open_sink, open_source

_HOME = {
    "Alarm": "monitor",
    "BeliefConfig": "config",
    "CalibrationMonitor": "monitor",
    "Config": "config",
    "DataError": "errors",
    "LabelConfig": "config",
    "MonitorConfig": "config",
    "OnlineLogit": "model",
    "OnlogitError": "errors",
    "Schema": "schema",
    "SgdConfig": "config",
    "Step": "pipeline",
    "load": "model",
    "open_sink": "streams",
    "open_source": "streams",
}

__all__ = [
    "Alarm",
    "BeliefConfig",
    "CalibrationMonitor",
    "Config",
    "DataError",
    "LabelConfig",
    "MonitorConfig",
    "OnlineLogit",
    "OnlogitError",
    "Schema",
    "SgdConfig",
    "Step",
    "load",
    "open_sink",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'onlogit' has no attribute {name!r}")
    return getattr(import_module(f"onlogit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
