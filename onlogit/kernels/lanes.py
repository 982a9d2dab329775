"""Vectors of a fixed number of lanes, for the loops that Numba does not vectorise.

Numba cannot tell LLVM that arrays do not overlap, so a loop that reads one array and adds to another keeps its sums in
memory. A vector is a value and lives in registers; LLVM cuts it into what the processor has. Each function below is one
LLVM instruction or intrinsic, or a few. The covariance step of kernels/belief.py is five times as fast so.

Vectors add, subtract, multiply and divide as scalars do; a scalar among them stands in every lane, in their precision. What
is said of one number may so be said once for both: `load`, `store`, `splat`, `larger`, `smaller`, `absolute`, `signed` and
`square_root` take scalars too.

`load` and `splat` take a vector (or scalar) `like` for its width and type. Arrays are contiguous, of any number of
dimensions, and places in them are counted from the first number in memory. Nothing checks bounds: whoever uses a vector
pads its arrays, or asks `load_first` for what there is.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped,unused-ignore]
from numba import carray, types  # type: ignore[import-untyped,attr-defined,unused-ignore]
from numba.core import (
    cgutils,  # type: ignore[import-untyped,unused-ignore]
    imputils,  # type: ignore[import-untyped,unused-ignore]
)
from numba.core.typeconv import Conversion  # type: ignore[import-untyped,attr-defined,unused-ignore]
from numba.core.typing import templates  # type: ignore[import-untyped,unused-ignore]
from numba.extending import intrinsic, models, register_model  # type: ignore[import-untyped,unused-ignore]
from numba.np import arrayobj  # type: ignore[import-untyped,unused-ignore]

from onlogit.kernels.jit import inline

INT32 = ir.IntType(32)
ROOT_HALF = 0x3F3504F3  # the bits of √½ in float32
LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
declare: Any = cgutils.get_or_insert_function
make_array: Any = arrayobj.make_array
signature: Any = templates.signature
infer_global: Any = templates.infer_global
lower_builtin: Any = imputils.lower_builtin
lower_cast: Any = imputils.lower_cast


def instruction(define: Callable[..., Any]) -> Callable[..., Any]:
    """A function of kernels that is written in LLVM: `define` gives its signature and what builds it."""
    written: Callable[..., Any] = intrinsic(define)
    return written


class Lanes(types.Type):  # type: ignore[misc,unused-ignore]
    """The type of a vector: `count` lanes of float32 or float64."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")

    def can_convert_from(self, typing: Any, other: Any) -> Any:
        """A scalar stands in every lane."""
        return Conversion.unsafe if isinstance(other, types.Float) else None


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):  # type: ignore[misc,unused-ignore]
    """A vector is LLVM's vector."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        vector = ir.VectorType(LLVM[lanes.dtype], lanes.count)
        super().__init__(manager, lanes, vector)  # type: ignore[no-untyped-call,unused-ignore]


def _width(kind: Any) -> str:
    return f"v{kind.count}f{kind.dtype.bitwidth}" if isinstance(kind, Lanes) else f"f{kind.bitwidth}"


def _bits(kind: Any) -> int:
    """Of one number."""
    return int(kind.dtype.bitwidth if isinstance(kind, Lanes) else kind.bitwidth)


def _call(context: Any, builder: Any, lanes: Lanes, name: str, args: Any, **options: Any) -> Any:
    """LLVM's intrinsic `name` for vectors of these lanes."""
    vector = context.get_value_type(lanes)
    kind = ir.FunctionType(options.pop("result", vector), [arg.type for arg in args])
    function = declare(builder.module, kind, f"llvm.{name}.{_width(lanes)}")
    return builder.call(function, args, **options)


def _place(context: Any, builder: Any, array: Any, value: Any, i: Any, lanes: Lanes) -> Any:
    data = make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [i]), context.get_value_type(lanes).as_pointer())


def _fill(builder: Any, vector: Any, value: Any) -> Any:
    """A vector with `value` in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count))


def _stand_in_every_lane(context: Any, builder: Any, scalar: Any, kind: Any, value: Any) -> Any:
    return _fill(builder, context.get_value_type(kind), context.cast(builder, value, scalar, kind.dtype))


lower_cast(types.Float, Lanes)(_stand_in_every_lane)


def _common(*kinds: Any) -> Any:
    """The vector among these types, or the first of scalars: what all of them are taken as."""
    return next((kind for kind in kinds if isinstance(kind, Lanes)), kinds[0])


class Arithmetic(templates.AbstractTemplate):  # type: ignore[misc,unused-ignore]
    """The type of what vectors, or a vector and scalars, make."""

    def generic(self, args: Any, kws: Any) -> Any:
        """That of the vector among them; None, which leaves it to others, where none is."""
        kind = _common(*args)
        return signature(kind, *[kind] * len(args)) if isinstance(kind, Lanes) else None


def _means(sign: Any, build: Callable[..., Any], kinds: int = 2) -> None:
    """What an operator's sign means among vectors: an instruction of the builder's."""
    infer_global(sign)(type(sign.__name__, (Arithmetic,), {"key": sign}))
    lower_builtin(sign, *[Lanes] * kinds)(lambda context, builder, signature, args: build(builder, *args))


_means(operator.add, ir.IRBuilder.fadd)
_means(operator.sub, ir.IRBuilder.fsub)
_means(operator.mul, ir.IRBuilder.fmul)
_means(operator.truediv, ir.IRBuilder.fdiv)
_means(operator.neg, ir.IRBuilder.fneg, 1)


@instruction
def lanes(typing: Any, zero: Any, count: Any) -> Any:
    """`count` lanes, a literal number, of the scalar `zero`."""
    if not isinstance(count, types.IntegerLiteral):
        return None  # Numba asks again with the literal
    kind = Lanes(zero, count.literal_value)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fill(builder, context.get_value_type(kind), args[0])

    return kind(zero, count), build


@instruction
def splat(typing: Any, value: Any, like: Any) -> Any:
    """The scalar in every lane."""
    return like(value, like), lambda context, builder, signature, args: context.cast(builder, args[0], value, like)


@instruction
def load(typing: Any, array: Any, i: Any, like: Any) -> Any:
    """array[i : i + lanes]."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, array, args[0], args[1], like), align=_bits(like) // 8)

    return like(array, types.intp, like), build


@instruction
def load_first(typing: Any, array: Any, i: Any, n: Any, like: Any) -> Any:
    """array[i : i + lanes], of which only the first n are read; 0 in the lanes after them."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, vector = _place(context, builder, array, args[0], args[1], like), context.get_value_type(like)
        whole = ir.VectorType(INT32, like.count)
        count = _fill(builder, whole, builder.trunc(args[2], INT32))
        there = builder.icmp_signed("<", ir.Constant(whole, list(range(like.count))), count)
        kind = ir.FunctionType(vector, [place.type, INT32, there.type, vector])
        function = declare(builder.module, kind, f"llvm.masked.load.{_width(like)}.p0{_width(like)}")
        return builder.call(function, [place, ir.Constant(INT32, _bits(like) // 8), there, ir.Constant(vector, None)])

    return like(array, types.intp, types.intp, like), build


@instruction
def word(typing: Any, array: Any, i: Any) -> Any:
    """The eight bytes array[i : i + 8] as one u64, in the order of the machine."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(make_array(array)(context, builder, args[0]).data, [args[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(array, types.intp), build


@instruction
def spread(typing: Any, array: Any, i: Any, like: Any) -> Any:
    """array[i] in every lane."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.load(builder.gep(make_array(array)(context, builder, args[0]).data, [args[1]]))
        return _fill(builder, context.get_value_type(like), one)

    return like(array, types.intp, like), build


@instruction
def store(typing: Any, array: Any, i: Any, value: Any) -> Any:
    """array[i : i + lanes] = value."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, array, args[0], args[1], value)
        builder.store(args[2], place, align=_bits(value) // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


@instruction
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once where the processor can."""
    kind = _common(a, b, c)
    return kind(kind, kind, kind), lambda context, builder, signature, args: _call(
        context, builder, kind, "fmuladd", args
    )


@instruction
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger of each two lanes; b where one is NaN."""
    kind = _common(a, b)
    return kind(kind, kind), lambda context, builder, signature, args: builder.select(
        builder.fcmp_ordered(">", *args), *args
    )


@instruction
def smaller(typing: Any, a: Any, b: Any) -> Any:
    """The smaller of each two lanes; b where one is NaN."""
    kind = _common(a, b)
    return kind(kind, kind), lambda context, builder, signature, args: builder.select(
        builder.fcmp_ordered("<", *args), *args
    )


def _choice(predicate: str) -> Callable[..., Any]:
    def define(typing: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(predicate, args[0], args[1]), args[2], args[3])

        kind = _common(a, b, x, y)
        return kind(kind, kind, kind, kind), build

    return define


where_above = instruction(_choice(">"))  # (a, b, x, y): x in the lanes where a > b, y in the others
where_equal = instruction(_choice("=="))


@instruction
def square_root(typing: Any, a: Any) -> Any:
    """√a."""
    return a(a), lambda context, builder, signature, args: _call(context, builder, a, "sqrt", args)


@instruction
def total(typing: Any, a: Any) -> Any:
    """The sum of all lanes, in an order of LLVM's choice that is the same at every call."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = LLVM[a.dtype]
        both = [ir.Constant(scalar, 0.0), args[0]]
        return _call(context, builder, a, "vector.reduce.fadd", both, result=scalar, fastmath=("reassoc",))

    return a.dtype(a), build


@instruction
def highest(typing: Any, a: Any) -> Any:
    """The largest of all lanes."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(context, builder, a, "vector.reduce.fmax", args, result=LLVM[a.dtype])

    return a.dtype(a), build


@instruction
def lowest(typing: Any, a: Any) -> Any:
    """The smallest of all lanes."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(context, builder, a, "vector.reduce.fmin", args, result=LLVM[a.dtype])

    return a.dtype(a), build


@instruction
def absolute(typing: Any, a: Any) -> Any:
    """|a|."""
    return a(a), lambda context, builder, signature, args: _call(context, builder, a, "fabs", args)


@instruction
def signed(typing: Any, a: Any, b: Any) -> Any:
    """|a| with the signs of b."""
    return a(a, b), lambda context, builder, signature, args: _call(context, builder, a, "copysign", args)


@instruction
def floor(typing: Any, a: Any) -> Any:
    """The whole numbers at or below a."""
    return a(a), lambda context, builder, signature, args: _call(context, builder, a, "floor", args)


@instruction
def double(typing: Any, a: Any) -> Any:
    """The lanes in float64."""
    wide = Lanes(types.float64, a.count)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if a == wide else builder.fpext(args[0], context.get_value_type(wide))

    return wide(a), build


@instruction
def single(typing: Any, a: Any) -> Any:
    """The lanes of float64 in float32, rounded."""
    narrow = Lanes(types.float32, a.count)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptrunc(args[0], context.get_value_type(narrow))

    return narrow(a), build


@instruction
def place(typing: Any, a: Any, lane: Any, value: Any) -> Any:
    """`a` with the scalar `value` in one lane, by comparing and choosing: no way through memory."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(a)
        whole = ir.VectorType(INT32, a.count)
        here = _fill(builder, whole, builder.trunc(args[1], INT32))
        chosen = builder.icmp_signed("==", here, ir.Constant(whole, list(range(a.count))))
        return builder.select(chosen, _fill(builder, vector, args[2]), args[0])

    return a(a, types.intp, a.dtype), build


@instruction
def two_of(typing: Any, a: Any, first: Any, second: Any) -> Any:
    """The lanes `first` and `second` of a, literal numbers."""
    if not (isinstance(first, types.IntegerLiteral) and isinstance(second, types.IntegerLiteral)):
        return None  # Numba asks again with the literals
    which = [first.literal_value, second.literal_value]

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.shuffle_vector(args[0], args[0], ir.Constant(ir.VectorType(INT32, 2), which))

    return Lanes(a.dtype, 2)(a, first, second), build


@instruction
def turned(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Four vectors of four lanes, as the columns of a square: its rows."""
    rows = types.UniTuple(a, 4)  # type: ignore[no-untyped-call,unused-ignore]

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def pick(x: Any, y: Any, *which: int) -> Any:
            return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, 4), which))

        top, bottom = ([pick(args[i], args[i + 1], *which) for i in (0, 2)] for which in ((0, 4, 1, 5), (2, 6, 3, 7)))
        made = [pick(*half, *which) for half in (top, bottom) for which in ((0, 1, 4, 5), (2, 3, 6, 7))]
        return context.make_tuple(builder, signature.return_type, made)

    return rows(a, b, c, d), build


@instruction
def _pointer(typing: Any, address: Any, zero: Any) -> Any:
    """A pointer to numbers of the type of `zero`."""
    kind = types.CPointer(zero)  # type: ignore[no-untyped-call,unused-ignore]

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.intp, zero), build


def _fetching(written: int) -> Callable[..., Any]:
    def define(typing: Any, array: Any, i: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = make_array(array)(context, builder, args[0]).data
            where = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [where.type, INT32, INT32, INT32])
            function = builder.module.declare_intrinsic("llvm.prefetch", (where.type,), kind)
            near, data_and_not_code = 3, 1
            builder.call(function, [where, *(ir.Constant(INT32, told) for told in (written, near, data_and_not_code))])
            return context.get_dummy_value()

        return types.void(array, types.intp), build

    return define


prefetch = instruction(_fetching(0))  # (array, i): have the cache line of array[i] fetched, to be read soon
prefetch_to_write = instruction(_fetching(1))  # likewise, to be changed soon


@instruction
def times_power(typing: Any, a: Any, rounded: Any) -> Any:
    """a 2^n for n = rounded - 1.5 * 2^23, float32: n is added to the exponent's bits."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = ir.VectorType(INT32, a.count)
        shift = ir.Constant(whole, [23] * a.count)
        n = builder.shl(builder.bitcast(args[1], whole), shift)
        return builder.bitcast(builder.add(builder.bitcast(args[0], whole), n), args[0].type)

    return a(a, rounded), build


def _exponent_bits(builder: Any, value: Any) -> tuple[Any, Any]:
    """The bits of value, and n with value = m 2^n, m between √½ and √2."""
    whole = ir.VectorType(INT32, value.type.count)
    bits = builder.bitcast(value, whole)
    n = builder.ashr(
        builder.sub(bits, ir.Constant(whole, [ROOT_HALF] * whole.count)), ir.Constant(whole, [23] * whole.count)
    )
    return bits, n


@instruction
def power(typing: Any, a: Any) -> Any:
    """n of a = m 2^n, float32 above 0."""
    return a(a), lambda context, builder, signature, args: builder.sitofp(
        _exponent_bits(builder, args[0])[1], args[0].type
    )


@instruction
def mantissa(typing: Any, a: Any) -> Any:
    """m of a = m 2^n, float32 above 0."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, n = _exponent_bits(builder, args[0])
        shift = ir.Constant(bits.type, [23] * bits.type.count)
        return builder.bitcast(builder.sub(bits, builder.shl(n, shift)), args[0].type)

    return a(a), build


@inline
def numbers_at(address: int, zero: Any, n: int) -> Any:
    """The n numbers of the type of `zero` that begin at an address, as an array; whoever owns them has to keep them."""
    return carray(_pointer(address, zero), n)
