"""Which values of a label column mean 1 and 0.

Labels are settled by the schema, never guessed batch by batch: bool; the numbers 0/1 or -1/1; or any column with a
named positive value. The other, negative, value is settled by the first one seen, and a third is an error that
names its row. Null is an unlabelled example. A row of weight 0 settles nothing. Cost: 2 ns a row for bools and
signed integers without nulls, else 20 ns.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding.buffers import flags, plain, readable, whole_numbers
from onlogit.errors import DataError
from onlogit.schema import check_positive

POSITIVE, NEGATIVE, UNLABELLED, NEITHER = 1, 0, -1, 2


class LabelValues:
    """Reads labels of one column. State: `negative`, the negative value as text, or None while none was seen; `read` is told
    it, and changes nothing."""

    def __init__(self, name: str, positive: str | None) -> None:
        self.name = name
        self.positive = positive
        self.negative: str | None = None

    def read(
        self, array: pa.Array, weight: npt.NDArray[np.float64], first_event: int, negative: str | None
    ) -> tuple[npt.NDArray[np.int8], str | None]:
        """Labels 1, 0 or -1 (unlabelled): i8[n], and the negative value as settled after them, `negative` being that before.

        weight: f64[n]; first_event: number of row 0 in the stream, for the DataError that a third value raises.
        """
        array = plain(array, self.name)
        if array.null_count == len(array):
            return np.full(len(array), UNLABELLED, np.int8), negative
        quick = self._two_values(array)
        if quick is not None and (negative in (None, quick[1]) or quick[0].all()):
            if negative is None and np.any(~quick[0] & (weight > 0.0)):
                negative = quick[1]
            return quick[0].astype(np.int8), negative
        encoded = array.dictionary_encode()
        texts, meanings = self._meanings(encoded.dictionary)
        codes = whole_numbers(encoded.indices.fill_null(len(texts)))
        meaning = np.array([*meanings, UNLABELLED], np.int8)[codes]
        before, since = negative, 0
        if negative is None:
            settling = np.flatnonzero((meaning == NEGATIVE) & (weight > 0.0))
            if settling.size:
                since = int(settling[0])
                negative = texts[codes[since]]
        other = np.array([*(text != negative for text in texts), False])[codes]
        wrong = meaning == NEITHER
        if negative is not None:
            wrong[since:] |= ((meaning == NEGATIVE) & other)[since:]
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self._error(first_event + row, texts[codes[row]], before if row < since else negative)
        return meaning, negative

    def _two_values(self, array: pa.Array) -> tuple[npt.NDArray[np.bool_], str] | None:
        """Which rows are positive, and the only other value as text: of bools and small integers without nulls."""
        if array.null_count or not len(array):
            return None
        if pa.types.is_boolean(array.type) and (self.positive or "true").lower() == "true":
            return flags(array), "false"
        if not pa.types.is_signed_integer(array.type) or self.positive is not None:
            return None
        numbers = whole_numbers(array)
        ones, low = numbers == 1, int(numbers.min())
        if low not in (-1, 0) or not np.all(ones | (numbers == low)):
            return None
        return ones, repr(float(low))

    def _meanings(self, values: pa.Array) -> tuple[list[str], list[int]]:
        """The distinct values as text, and what each of them may mean; a SchemaError where none could be positive."""
        kind = values.type
        if pa.types.is_boolean(kind):
            check_positive(self.name, "bool", self.positive)
            positive = (self.positive or "true").lower()
            texts = [str(value).lower() for value in values.to_pylist()]
            return texts, [POSITIVE if text == positive else NEGATIVE for text in texts]
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            check_positive(self.name, "number", self.positive)
            numbers = [float(value) + 0.0 for value in values.to_pylist()]
            return [repr(number) for number in numbers], [self._meaning_of_number(number) for number in numbers]
        check_positive(self.name, "text", self.positive)
        texts = [str(text) for text in readable(values)]
        return texts, [POSITIVE if text == self.positive else NEGATIVE for text in texts]

    def _meaning_of_number(self, number: float) -> int:
        if self.positive is None:
            return POSITIVE if number == 1.0 else NEGATIVE if number in (0.0, -1.0) else NEITHER
        if number == float(self.positive):
            return POSITIVE
        return NEGATIVE if number == number else NEITHER

    def _error(self, row: int, found: str, negative: str | None) -> DataError:
        zero = negative if negative is not None else "0 or -1" if self.positive is None else "one other value"
        return DataError(
            f"column {self.name!r}, row {row} (counting from 0): label {found}; accepted are {self.positive or 1} "
            f"(positive), {zero} (negative), and null for an unlabelled example"
        )
