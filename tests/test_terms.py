"""Derived terms as text: what is read, how it is spelled, and errors that point at the character."""

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.schema import Schema
from onlogit.terms import (
    Bucket,
    Calendar,
    Category,
    Log,
    Poly,
    Product,
    Read,
    Sparse,
    Spline,
    Term,
    parse,
    text_of,
    walk,
)

COLUMNS = pa.schema(
    [
        ("x", pa.float64()),
        ("n", pa.int32()),
        ("c", pa.string()),
        ("b", pa.bool_()),
        ("t", pa.timestamp("us")),
        ("d", pa.date32()),
        ("lead time", pa.float32()),
        ("emp.var", pa.float32()),
        ("i", pa.list_(pa.int32())),
        ("v", pa.list_(pa.float32())),
        ("y", pa.bool_()),
    ]
)


def schema(*features: str, drop: tuple[str, ...] = ("i", "v")) -> Schema:
    return Schema.of(COLUMNS, label="y", drop=drop, features=features)


@pytest.mark.parametrize(
    ("text", "term", "normal"),
    [
        ("a*b", Product((Read("a"), Read("b"))), "a*b"),
        (" a * b*c ", Product((Read("a"), Read("b"), Read("c"))), "a*b*c"),
        ("a*(b*(c*d))", Product((Read("a"), Read("b"), Read("c"), Read("d"))), "a*b*c*d"),
        ("poly(x,3)", Poly(Read("x"), 3), "poly(x, 3)"),
        ("bucket( x ,8)", Bucket(Read("x"), 8), "bucket(x, 8)"),
        ("spline(x*n, 4)", Spline(Product((Read("x"), Read("n"))), 4), "spline(x*n, 4)"),
        ("log(x)*c", Product((Log(Read("x")), Read("c"))), "log(x)*c"),
        ("hour(t)", Calendar("hour", Read("t")), "hour(t)"),
        ("category( x )*c", Product((Category(Read("x")), Read("c"))), "category(x)*c"),
        ("weekday('my t')", Calendar("weekday", Read("my t")), "weekday('my t')"),
        ("emp.var.rate*'class'", Product((Read("emp.var.rate"), Read("class"))), "emp.var.rate*'class'"),
        ("'x'*\"it's\"", Product((Read("x"), Read("it's"))), 'x*"it\'s"'),
        ("straße*ﬁn", Product((Read("straße"), Read("ﬁn"))), "straße*ﬁn"),
        ("sparse(i, v)", Sparse(Read("i"), Read("v")), "sparse(i, v)"),
    ],
)
def test_terms_are_read_and_spelled_in_one_way(text: str, term: Term, normal: str) -> None:
    assert parse(text) == term
    assert text_of(parse(text)) == normal
    assert text_of(parse(normal)) == normal


names = st.one_of(st.sampled_from(["a", "x1", "class", "a.b", "lead time", "1st", "it's", "ﬁ", "\\d", "é"]), st.text(
    st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8))  # fmt: skip
reads = names.map(Read)
factors = st.one_of(reads, reads.map(Log), reads.map(Category), st.builds(Bucket, reads, st.integers(2, 256)))
any_term = st.one_of(
    st.lists(factors, min_size=2, max_size=4).map(lambda f: Product(tuple(f))),
    st.builds(Poly, reads, st.integers(2, 6)),
    st.builds(Calendar, st.sampled_from(["hour", "weekday", "month"]), reads),
    st.builds(Sparse, reads, reads),
)


@given(any_term)
def test_what_is_spelled_is_read_back(term: Term) -> None:
    assert parse(text_of(term)) == term
    assert list(walk(term))[-1] == term


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("a+b", 1, "only [*] joins columns"),
        ("(a) - b", 4, "only [*] joins columns; .*'lead-time'[*]b"),
        ("ünï*ß + q", 6, "only [*] joins columns"),
        ("a*", 2, "accepted: a[*]b, poly"),
        ("a b", 2, "accepted: a[*]b, poly"),
        ("class*b", 0, "goes in quotes"),
        ("a*log(x", 5, "accepted"),
        ("poly(x)", 0, r"expected poly\(x, k\)"),
        ("c*poly(x, k=3)", 2, r"expected poly\(x, k\)"),
        ("poly(x, 9)", 8, "a whole number, 2 to 6"),
        ("bucket(x, 1)", 10, "a whole number, 2 to 256"),
        ("spline(x, 2.5)", 10, "a whole number"),
        ("spline(x, True)", 10, "a whole number"),
        ("bukcet(x, 3)", 0, r"did you mean bucket\(x, k\)\?"),
        ("c*f(a)(b)", 2, "there is no such function"),
        ("2*a", 0, "expected a column here, not a constant"),
        ("category(a*b)", 9, r"expected a column here: category\(x\)"),
        ("hour(a*b)", 5, r"expected a column here: hour\(t\)"),
        ("sparse(i, log(v))", 10, r"expected a column here: sparse\(indices, values\)"),
        ("a*b[0]", 2, "no part of a term"),
        ("a*log(*x)", 6, "no part of a term"),
        ("a*lambda: 3", 2, "accepted"),
        ("a", 0, "a column alone is a feature unless it is dropped"),
        ("a*f(x).b", 2, "expected a column here"),
        ("a*__import__('os').system('x')", 2, "there is no such function"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(text)
    assert str(caught.value).endswith(f"\n  {text}\n  {' ' * at}^")
    assert f"character {at + 1}: " in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "a\nb", "a\0b", "a*\tb"])
def test_what_is_no_line_of_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="one line of 1 to 200 characters"):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_term_or_a_config_error(text: str) -> None:
    try:
        parse(text)
    except ConfigError:
        return


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("x*q", 2, "there is no column 'q'"),
        ("c*'lead tine'", 2, "there is no column 'lead tine' .near: lead time"),
        ("c*y", 2, "'y' is the label.*cannot read it"),
        ("log(c)", 4, r"c is a category; accepted in log\(x\) is a number"),
        ("bucket(hour(t), 4)", 7, r"hour\(t\) is a category; accepted in bucket\(x, k\) is a number"),
        ("x*t", 2, r"t is a timestamp; .*: hour\(t\), weekday\(t\), month\(t\)"),
        ("hour(d)", 5, r"d is a date; accepted in hour\(t\) is a timestamp"),
        ("month(c)", 6, "c is a category; accepted in month.* is a timestamp or a date"),
        ("category(t)", 9, "t is a timestamp; accepted in category.* is a number or a category"),
        ("poly(x*c, 2)", 5, "x[*]c is neither a single number nor a category"),
        ("c*spline(x, 3)", 2, r"spline\(x, 3\) is neither"),
        ("log(x*n)", 4, "often negative"),
        ("sparse(v, i)", 7, "v is a list of numbers; accepted in the indices of sparse"),
        ("i*c", 0, "i is a list of integers; accepted in a product"),
        (" log(c)", 4, "c is a category; accepted in log"),
    ],
)
def test_columns_have_to_fit(text: str, at: int, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        schema(text)
    assert str(caught.value).endswith(f"\n  {text.strip()}\n  {' ' * at}^")


@pytest.mark.parametrize("role", ["weight", "key", "label_time"])
def test_no_term_reads_what_is_no_feature(role: str) -> None:
    columns = pa.schema([("a", pa.timestamp("us") if role == "label_time" else pa.int64()), ("x", pa.float32())])
    with pytest.raises(SchemaError, match="a term cannot read it"):
        Schema.of(columns, features=["month(a)" if role == "label_time" else "a*x"], **{role: "a"})


def test_a_list_of_values_needs_its_indices() -> None:
    with pytest.raises(
        SchemaError, match=r'column \'v\' is a list of numbers.*\(--feature "sparse\(i, v\)"\), or drop'
    ):
        schema(drop=())
    both = schema("sparse(i, v)", drop=())
    assert {column.name for column in both.columns if column.role in ("set", "values")} == {"i", "v"}
    assert not {"i", "v"} & {column.name for column in both.features}


WHOLE, FRACTIONS, TEXTS, NOTHING = (pa.list_(kind) for kind in (pa.int64(), pa.float64(), pa.string(), pa.null()))


@pytest.mark.parametrize("first", [WHOLE, FRACTIONS, NOTHING])
@pytest.mark.parametrize("drop", [(), ("i", "v")])
def test_values_may_be_whole_at_first_and_later(first: pa.DataType, drop: tuple[str, ...]) -> None:
    told = Schema.of(pa.schema([("i", WHOLE), ("v", first)]), features=["sparse(i, v)"], drop=drop)
    assert told == Schema.of(pa.schema([("i", WHOLE), ("v", FRACTIONS)]), features=["sparse(i, v)"], drop=drop)
    assert Schema.from_json(told.to_json()) == told
    for later in (WHOLE, FRACTIONS, NOTHING):
        told.check(pa.schema([("i", WHOLE), ("v", later)]))
    for column, kind in (("i", FRACTIONS), ("v", TEXTS), ("v", pa.float64())):
        with pytest.raises(SchemaError, match=f"column '{column}' has type"):
            told.check(
                pa.schema([(name, kind if name == column else FRACTIONS if name == "v" else WHOLE) for name in "iv"])
            )
    with pytest.raises(
        SchemaError, match="v is a list of strings; accepted in the values of sparse is a list of numbers or"
    ):
        Schema.of(pa.schema([("i", WHOLE), ("v", TEXTS)]), features=["sparse(i, v)"])


def test_what_is_indices_and_values_stays_whole() -> None:
    told = Schema.of(pa.schema([("i", WHOLE)]), features=["sparse(i, i)"])
    with pytest.raises(SchemaError, match="the schema says integers"):
        told.check(pa.schema([("i", FRACTIONS)]))


def test_the_normal_spelling_of_a_term_may_be_long() -> None:
    long, columns = "*".join(["bucket(x,2)"] * 16), pa.schema([("x", pa.float64()), ("c" * 205, pa.float64())])
    told = Schema.of(columns, features=[long, "poly('*', 2)"])
    assert len(told.parsed) == len(told.terms) == 3
    assert max(map(len, told.terms)) > 200 > len(long)
    assert Schema.from_json(told.to_json()).parsed == told.parsed
    for deep in ("*".join("x" * 300), "log(" * 150 + "x" + ")" * 150, "(" * 5000):
        with pytest.raises(StateError, match="schema: "):
            Schema.from_json(told.to_json() | {"features": [deep]})


def test_what_is_there_already_is_not_added_twice() -> None:
    assert schema("hour(t)", "weekday(d)", "month(t)", "month( t )").terms == ("month(t)",)
    assert schema("hour(t)", drop=("i", "v", "t")).terms == ("hour(t)",)
    assert Schema.of(COLUMNS, drop=["i", "v"], features="x*n").terms == ("x*n",)


def test_terms_read_dropped_columns_which_then_have_to_be_there() -> None:
    kept = schema("log(x)", "c*n", drop=("i", "v", "x"))
    assert [column.kind for column in kept.columns if column.role == "dropped"] == ["number", "any", "any"]
    assert "x" not in {column.name for column in kept.features}
    without = COLUMNS.remove(COLUMNS.get_field_index("x"))
    with pytest.raises(SchemaError, match="'x' is missing"):
        kept.check(without, scoring=True)
    with pytest.raises(SchemaError, match="'x' has type string"):
        kept.check(COLUMNS.set(0, pa.field("x", pa.string())))
    kept.check(COLUMNS.set(0, pa.field("x", pa.int8())))
    schema(drop=("i", "v", "x")).check(without)


def test_json_gives_the_terms_back_and_refuses_foreign_ones() -> None:
    ours = schema("log(x)", "sparse(i, v)", "c*n*hour(t)", drop=())
    data = ours.to_json()
    assert Schema.from_json(data) == ours
    for bad in (["log(c)"], ["x*"], ["x * n"], ["x*n", "x*n"], [3], "x*n", None, ["q*x"]):
        with pytest.raises(StateError, match="schema"):
            Schema.from_json({**data, "features": bad})


def test_a_star_stands_for_every_number_column() -> None:
    every = ("x", "n", "'lead time'", "emp.var")
    assert schema("poly('*', 2)").terms == tuple(f"poly({name}, 2)" for name in every)
    assert schema("c*log('*')").terms == tuple(f"c*log({name})" for name in every)
    assert schema("'*'*'*'", drop=("i", "v", "n")).terms == ("x*x", "'lead time'*'lead time'", "emp.var*emp.var")
    assert schema("poly(x, 2)", "poly('*', 2)") == schema("poly(x, 2)", *(f"poly({name}, 2)" for name in every[1:]))


def test_a_star_that_stands_for_nothing_is_pointed_at() -> None:
    text = "c*log('*')"
    with pytest.raises(SchemaError) as told:
        Schema.of(pa.schema([("c", pa.string()), ("y", pa.bool_())]), label="y", features=[text])
    assert str(told.value).splitlines() == [
        f"feature {text!r}, character 7: there is no number column for '*' to stand for", "  c*log('*')", "        ^",
    ]  # fmt: skip
    with pytest.raises(SchemaError, match="character 6: x is a number; accepted in hour"):
        schema("hour('*')")


def test_a_column_called_star_is_itself() -> None:
    columns = pa.schema([("*", pa.float64()), ("x", pa.float64()), ("y", pa.bool_())])
    ours = Schema.of(columns, label="y", features=["poly('*', 2)"])
    assert ours.terms == ("poly('*', 2)",)
    assert Schema.from_json(ours.to_json()) == ours


def test_terms_are_spelled_as_a_schema_with_them_has_them() -> None:
    texts = "poly('*', 2)", "c*b", "hour(t)", "c * b"
    assert schema().spelled(texts) == schema(*texts).terms


def test_there_is_a_limit_to_their_number() -> None:
    with pytest.raises(ConfigError, match="1001 derived terms"):
        schema(*["x*n"] * 1001)
    with pytest.raises(ConfigError, match="1004 derived terms"):
        schema(*(f"spline('*', {k})" for k in range(2, 253)))
