"""What a request can be refused for, as an HTTP status with a message for a person."""

from onlogit.errors import ConfigError, DataError, OnlogitError, OutputError


class Refusal(Exception):
    """A request is not done; nothing has changed. `status` is the HTTP status, the text says what would be accepted."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


def refusal_of(error: Exception) -> Refusal:
    """The refusal that an error of onlogit amounts to; an error of another kind is our own fault."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, DataError):
        return Refusal(422, str(error))
    if isinstance(error, ConfigError):
        return Refusal(409, str(error))
    if isinstance(error, OutputError):
        return Refusal(507, f"{error}; scores are still answered, and writes again once there is room")
    if isinstance(error, OnlogitError):
        return Refusal(500, str(error))
    return Refusal(500, "internal error; the log has it")
