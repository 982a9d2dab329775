"""Derived terms as the user writes them: text -> small frozen trees, checked against the columns that they name.

    country*device         categories join: one slot for each pair
    country*amount         a slot for each category, whose value is the standardised number
    amount*age             numbers multiply: a number of its own, standardised
    poly(x, k)             powers 2 to k of the standardised x, each standardised
    bucket(x, k)           a category: which of k parts of about equal count x lies in
    spline(x, k)           a piecewise-linear curve over k knots: two slots whose values sum to 1
    log(x)                 natural logarithm, standardised; where x <= 0 it is missing
    category(x)             a category: each value of a number that is a code, or of any category
    hour(t), weekday(t), month(t)          categories, by the clock of the timestamp's own zone
    sparse(indices, values)                list columns of one length, the values numbers: a slot for each index, with its value

Any number of factors may be multiplied; log, category, hour, weekday, month and bucket are factors too. A column whose name
is no plain word (dots are fine) is written in quotes: 'lead time'*country. '*' stands for every number column that is a
feature, one after the other: poly('*', 2) is the square of each. Texts are parsed with Python's `ast` and never evaluated; a
mistake is an error that points at its character.
"""

import ast
import difflib
import keyword
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from onlogit.errors import ConfigError, OnlogitError, SchemaError

SYNTAX = (
    "a*b, poly(x, k), bucket(x, k), spline(x, k), log(x), category(x), hour(t), weekday(t), month(t), "
    "sparse(indices, values)"
)
ARGUMENTS = {
    "poly": "x, k",
    "bucket": "x, k",
    "spline": "x, k",
    "log": "x",
    "category": "x",
    "hour": "t",
    "weekday": "t",
    "month": "t",
    "sparse": "indices, values",
}
EVERY = "*"  # in the place of a column
SIZES = {"poly": (2, 6), "bucket": (2, 256), "spline": (2, 256)}
LONGEST = 200  # characters of one term

# what a column is to a term, or why it cannot be part of one
Operand = Literal["number", "category", "timestamp", "date", "integers", "texts", "numbers", "nulls", "other"]


def _at() -> int:
    return field(default=0, compare=False, repr=False)


@dataclass(frozen=True)
class Read:
    """A column."""

    column: str
    at: int = _at()  # first character in the text, for messages; no part of the meaning


@dataclass(frozen=True)
class Log:
    of: "Term"
    at: int = _at()


@dataclass(frozen=True)
class Poly:
    of: "Term"
    size: int
    at: int = _at()


@dataclass(frozen=True)
class Bucket:
    of: "Term"
    size: int
    at: int = _at()


@dataclass(frozen=True)
class Spline:
    of: "Term"
    size: int
    at: int = _at()


@dataclass(frozen=True)
class Category:
    of: Read
    at: int = _at()


@dataclass(frozen=True)
class Calendar:
    part: str  # hour, weekday or month
    of: Read
    at: int = _at()


@dataclass(frozen=True)
class Sparse:
    indices: Read
    values: Read
    at: int = _at()


@dataclass(frozen=True)
class Product:
    factors: tuple["Term", ...]
    at: int = _at()


Term = Read | Log | Poly | Bucket | Spline | Category | Calendar | Sparse | Product


def text_of(term: Term) -> str:
    """The term in its one normal spelling: its name wherever coordinates are listed."""
    match term:
        case Read(column):
            return column if _is_plain(column) else repr(column)
        case Product(factors):
            return "*".join(text_of(factor) for factor in factors)
        case Poly(of, size) | Bucket(of, size) | Spline(of, size):
            return f"{type(term).__name__.lower()}({text_of(of)}, {size})"
        case Log(of):
            return f"log({text_of(of)})"
        case Category(of):
            return f"category({text_of(of)})"
        case Calendar(part, of):
            return f"{part}({text_of(of)})"
        case Sparse(indices, values):
            return f"sparse({text_of(indices)}, {text_of(values)})"


def _inside(term: Term) -> tuple[Term, ...]:
    match term:
        case Product(factors):
            return factors
        case Sparse(indices, values):
            return (indices, values)
        case Read():
            return ()
        case _:
            return (term.of,)


def walk(term: Term) -> Iterator[Term]:
    """The term and all terms inside it, from the inside out."""
    for part in _inside(term):
        yield from walk(part)
    yield term


def spelled_out(term: Term, numbers: Iterable[str]) -> tuple[Term, ...]:
    """The terms that one with `EVERY` in it stands for, one for each of these columns; any other term is itself."""
    if not any(isinstance(part, Read) and part.column == EVERY for part in walk(term)):
        return (term,)
    return tuple(_put_in(term, name) for name in numbers)


def _put_in(term: Term, name: str) -> Any:
    """The term with a column in the place of `EVERY`."""
    match term:
        case Read(column):
            return replace(term, column=name) if column == EVERY else term
        case Product(factors):
            return replace(term, factors=tuple(_put_in(factor, name) for factor in factors))
        case Sparse(indices, values):
            return replace(term, indices=_put_in(indices, name), values=_put_in(values, name))
        case _:
            return replace(term, of=_put_in(term.of, name))


def read_as_they_are(term: Term) -> Iterator[str]:
    """The columns that a term reads, but for those of `category`."""
    if isinstance(term, Read):
        yield term.column
    if not isinstance(term, Category):
        for part in _inside(term):
            yield from read_as_they_are(part)


def mistake(text: str, at: int, what: str, kind: type[OnlogitError] = ConfigError) -> OnlogitError:
    """An error that shows the term and points at its character `at`, counted from 0."""
    return kind(f"feature {text!r}, character {at + 1}: {what}\n  {text}\n  {' ' * at}^")


def parse(text: str) -> Term:
    """The tree of a term as a user writes it; a ConfigError that points at the character where the text is none.

    >>> parse("log(amount)*country")
    Product(factors=(Log(of=Read(column='amount')), Read(column='country')))
    """
    if not isinstance(text, str):
        raise ConfigError(f"a feature is a text such as 'a*b', not {text!r}")
    text = text.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        raise ConfigError(f"feature {text[:40]!r}: a term is one line of 1 to {LONGEST} characters; accepted: {SYNTAX}")
    return parse_normal(text)


def parse_normal(text: str) -> Term:
    """The same of a normal spelling, which may be longer: the names of columns in the place of `EVERY` are of any length."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on backslashes in quoted names
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        offset = getattr(error, "offset", None) or len(text) + 1  # counted from 1; 0 where the text ends too soon
        raise mistake(
            text, min(max(offset - 1, 0), len(text)), f"{getattr(error, 'msg', 'invalid syntax')}; accepted: {SYNTAX}; "
            "a column whose name is no plain word goes in quotes: 'lead time'*b",
        ) from error  # fmt: skip
    if sum(isinstance(part, ast.expr) for part in ast.walk(tree)) > LONGEST:
        raise ConfigError(f"feature {text[:40]!r}: a term has at most {LONGEST} parts")
    term = _Reader(text).term(tree)
    if isinstance(term, Read):
        raise mistake(text, 0, f"a column alone is a feature unless it is dropped; accepted as a term: {SYNTAX}")
    return term


class _Reader:
    """Turns Python's tree of one text into a term."""

    def __init__(self, text: str) -> None:
        self.text = text

    def at(self, node: ast.expr) -> int:
        return self._characters(node.col_offset)

    def _characters(self, column: int) -> int:  # Python counts the bytes of UTF-8
        return len(self.text.encode()[:column].decode(errors="ignore"))

    def term(self, node: ast.expr) -> Term:
        match node:
            case ast.BinOp(op=ast.Mult()):
                return self._product(node)
            case ast.Call():
                return self._call(node)
            case ast.Name() | ast.Attribute() | ast.Constant():
                return self._column(node)
            case ast.BinOp():
                at = self._characters(node.left.end_col_offset or 0)
                at += len(self.text[at:]) - len(self.text[at:].lstrip(" )"))
                what = "only * joins columns"
            case _:
                at, what = self.at(node), f"this is no part of a term; accepted: {SYNTAX}"
        raise mistake(self.text, at, f"{what}; a column whose name has such signs goes in quotes: 'lead-time'*b")

    def _product(self, node: ast.BinOp) -> Product:
        factors: list[Term] = []
        for side in (self.term(node.left), self.term(node.right)):
            factors += side.factors if isinstance(side, Product) else [side]
        return Product(tuple(factors), self.at(node))

    def _column(self, node: ast.expr) -> Read:
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, str):
                raise mistake(self.text, self.at(node), "expected a column here, not a constant")
            return Read(node.value, self.at(node))
        inner = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise mistake(self.text, self.at(node), "expected a column here")
        name = ast.get_source_segment(self.text, node) or ""  # as written: Python's own name is normalised
        return Read(name, self.at(node))

    def _call(self, node: ast.Call) -> Term:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in ARGUMENTS:
            near = difflib.get_close_matches(name, ARGUMENTS, 1)
            hint = f"did you mean {near[0]}({ARGUMENTS[near[0]]})?" if near else f"accepted: {SYNTAX}"
            raise mistake(self.text, self.at(node), f"there is no such function; {hint}")
        shape = f"{name}({ARGUMENTS[name]})"
        if node.keywords or len(node.args) != len(ARGUMENTS[name].split(", ")):
            raise mistake(self.text, self.at(node), f"expected {shape}")
        at, first, last = self.at(node), self.term(node.args[0]), node.args[-1]
        if name == "log":
            return Log(first, at)
        if name in SIZES:
            sized: dict[str, type[Poly | Bucket | Spline]] = {"poly": Poly, "bucket": Bucket, "spline": Spline}
            return sized[name](first, self._size(last, name), at)
        second = self.term(last)
        if not isinstance(first, Read) or not isinstance(second, Read):
            wrong = node.args[0] if not isinstance(first, Read) else last
            raise mistake(self.text, self.at(wrong), f"expected a column here: {shape}")
        if name == "category":
            return Category(first, at)
        return Sparse(first, second, at) if name == "sparse" else Calendar(name, first, at)

    def _size(self, node: ast.expr, name: str) -> int:
        low, high = SIZES[name]
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise mistake(
                self.text, self.at(node), f"k of {name}({ARGUMENTS[name]}) is a whole number, {low} to {high}"
            )
        return value


def _is_plain(name: str) -> bool:
    """Whether `parse` reads this name without quotes."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def check(term: Term, text: str, columns: Mapping[str, Operand]) -> Operand:
    """What a term is to the term around it, given what its columns are; a SchemaError that points at what does not fit."""
    match term:
        case Read(column, at):
            if column not in columns:
                if column == EVERY:
                    raise mistake(text, at, f"there is no number column for {EVERY!r} to stand for", SchemaError)
                near = difflib.get_close_matches(column, list(columns), 3)
                known = f" (near: {', '.join(near)})" if near else ""
                raise mistake(text, at, f"there is no column {column!r}{known}", SchemaError)
            if columns[column] == "other":
                raise mistake(text, at, f"column {column!r} is the label, its time, the weight, the key, or of a type "
                              "without a meaning; a term cannot read it", SchemaError)  # fmt: skip
            return columns[column]
        case Product(factors):
            kinds = [_of_kind(factor, text, columns, ("number", "category"), "a product") for factor in factors]
            return "category" if set(kinds) == {"category"} else "number" if set(kinds) == {"number"} else "other"
        case Category(of):
            _of_kind(of, text, columns, ("number", "category"), "category(x)")
            return "category"
        case Calendar(part, of):
            _of_kind(of, text, columns, ("timestamp",) if part == "hour" else ("timestamp", "date"), f"{part}(t)")
            return "category"
        case Sparse(indices, values):
            _of_kind(indices, text, columns, ("integers", "texts", "nulls"), "the indices of sparse")
            _of_kind(values, text, columns, ("numbers", "integers", "nulls"), "the values of sparse")
            return "other"
        case Log(of):
            _of_kind(of, text, columns, ("number",), "log(x)")
            if isinstance(of, Product):
                raise mistake(text, of.at, "the factors of a product are standardised, hence often negative; take the "
                              "log of each column", SchemaError)  # fmt: skip
            return "number"
        case _:
            _of_kind(term.of, text, columns, ("number",), f"{type(term).__name__.lower()}(x, k)")
            return "category" if isinstance(term, Bucket) else "other"


NAMED = {
    "number": "a number",
    "category": "a category",
    "timestamp": "a timestamp",
    "date": "a date",
    "integers": "a list of integers",
    "texts": "a list of strings",
    "numbers": "a list of numbers",
    "nulls": "a list of nulls",
}


def _of_kind(term: Term, text: str, columns: Mapping[str, Operand], wanted: tuple[Operand, ...], where: str) -> Operand:
    found = check(term, text, columns)
    if found in wanted:
        return found
    hint = f": hour({text_of(term)}), weekday({text_of(term)}), month({text_of(term)})" if found == "timestamp" else ""
    accepted = " or ".join(NAMED[kind] for kind in wanted)
    is_what = f"is {NAMED[found]}" if found in NAMED else "is neither a single number nor a category"
    raise mistake(text, term.at, f"{text_of(term)} {is_what}; accepted in {where} is {accepted}{hint}", SchemaError)
