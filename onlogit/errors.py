"""Every error that a user can meet.

One base class; each message names the column, row or file, says what was found and what would be accepted. The exit
code of a command is a property of the kind of error, so that no command decides it for itself.
"""


class OnlogitError(Exception):
    """Base class. `exit_code` is what a command exits with when this reaches its top."""

    exit_code = 1


class ConfigError(OnlogitError):
    """A setting that cannot be meant: unknown, out of range, or contradicting another."""

    exit_code = 2


def require(condition: bool, setting: str, found: object, accepted: str) -> None:
    """A ConfigError where a setting is out of range."""
    if not condition:
        raise ConfigError(f"{setting} = {found!r} is out of range: {accepted}")


class DataError(OnlogitError):
    """Input that cannot be read or does not mean what the schema says: a file, a row, a value."""

    exit_code = 3


class SchemaError(DataError):
    """A column that is missing, of another type than before, or of a type that onlogit does not take."""


class StateError(OnlogitError):
    """A model file or a checkpoint that is damaged, truncated, hostile, or from another format version."""

    exit_code = 4


class OutputError(OnlogitError):
    """Output that could not be written: a full disk, no permission, a closed pipe."""


class AlarmRaised(OnlogitError):
    """An alarm was raised where the user asked to fail on one."""

    exit_code = 5
