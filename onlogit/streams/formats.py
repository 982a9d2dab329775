"""Which format a file has: by its content when read, by its name when written."""

from pathlib import PurePath

from onlogit.config import FORMATS
from onlogit.errors import ConfigError, DataError

ACCEPTED = "Arrow IPC stream or file, Parquet, CSV with a header, or NDJSON, CSV and NDJSON in UTF-8"

MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow-file", b"\xff\xff\xff\xff": "arrow"}
LONGEST_MAGIC = 8

ENDINGS = {
    ".arrow": "arrow",  # a stream, which can be appended to and cut; readers that want a file can have .feather
    ".arrows": "arrow",
    ".feather": "arrow-file",
    ".ipc": "arrow-file",
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


def checked(format: str | None) -> str | None:
    """`format`, if it is one. Errors: ConfigError."""
    if format is not None and format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}: accepted are {', '.join(FORMATS)}")
    return format


def format_of_content(head: bytes, where: str) -> str:
    """The format of a file that starts with `head` (8 bytes, fewer only if the file ends there). Errors: DataError."""
    if not head:
        raise DataError(f"{where} is empty (0 bytes): accepted are {ACCEPTED}")
    for magic, format in MAGIC.items():
        if head.startswith(magic):
            return format
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "ndjson"
    if text.startswith(b"["):
        raise DataError(f"{where} is one JSON array: write one object a line instead (NDJSON)")
    if b"\0" in head or any(byte < 32 and byte not in b"\t\r\n" for byte in head):
        raise DataError(f"{where} has no known format: accepted are {ACCEPTED}")
    return "csv"


def format_of_name(where: str) -> str:
    """The format to write to a file of this name. Errors: ConfigError."""
    ending = PurePath(where).suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"cannot tell the format of {where!r} from its name: end it in one of {', '.join(ENDINGS)}")
    return ENDINGS[ending]
