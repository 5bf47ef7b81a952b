"""An array library made of NumPy that refuses what CuPy refuses.

On a machine without a GPU, code that mixes host and device arrays passes every NumPy test and fails
on the first GPU. `standin` behaves as `cupy` does in this respect: its arrays never turn into NumPy
arrays unasked, it takes no NumPy array as an argument, and names, methods and keywords that CuPy
lacks are missing here too. What is refused was read off CuPy 14.2; `test_standin.py` compares the
lists with the installed CuPy where there is one.

It computes on the host: it finds mistakes of the mixing kind, not of the numerical kind, but for one:
float32 numbers nearer to 0 than the smallest normal one become 0, as they do where CuPy compiles.

An array belongs to the thread that made it: CuPy's device and stream are per thread, so that what another
thread does with it goes to another stream, or to another GPU. Such a use is refused.

    with counted() as work: …        what a GPU would have been asked for: launches, copies, and waits
"""

from __future__ import annotations

import importlib.util
import operator
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names of `numpy` that `cupy` does not have (and that somebody could want to use).
LACKING = _words(
    """
    ScalarType asmatrix block bmat busday_count busday_offset busdaycalendar bytes_ char
    character clongdouble complex256 ctypeslib datetime64 datetime_as_string datetime_data dtypes
    einsum_path emath errstate flexible float128 frompyfunc fromregex geomspace get_include
    getbufsize geterr geterrcall histogram_bin_edges info insert is_busday isnat longdouble ma matrix matvec
    memmap nanpercentile nanquantile ndenumerate nditer nested_iters object_ polyder polydiv
    polyint rec recarray record sctypeDict setbufsize seterr seterrcall show_runtime spacing
    str_ strings test timedelta64 typecodes unstack vecdot vecmat void
    """
)
LACKING_LINALG = _words(
    "diagonal matrix_norm multi_dot outer svdvals tensordot trace vecdot vector_norm"
)

# Keywords of NumPy's functions that no function of CuPy has...
LACKING_KEYWORDS = _words("where initial like device mean correction")
# ...and those that are missing from single functions.
LACKING_KEYWORDS_OF = {
    "argpartition": {"kind", "order"},
    "argsort": {"order", "stable"},
    "as_strided": {"subok", "writeable"},
    "broadcast_arrays": {"subok"},
    "broadcast_to": {"subok"},
    "clip": {"min", "max", "dtype"},
    "count_nonzero": {"keepdims"},
    "indices": {"sparse"},
    "isin": {"kind"},
    "lexsort": {"axis"},
    "partition": {"kind", "order"},
    "sort": {"order", "stable"},
    "take": {"mode"},
    "unique": {"sorted"},
}

# ufuncs that CuPy can apply with `at`: those with an atomic operation behind them.
SCATTERS = _words("add subtract maximum minimum bitwise_and bitwise_or bitwise_xor")

# Functions that need no array of the device: they make one, or only talk about shapes and types.
CREATORS = _words(
    """
    arange array asanyarray asarray ascontiguousarray empty eye fromfunction full hamming
    hanning identity indices linspace logspace ones tri zeros
    """
)
DESCRIBERS = _words(
    """
    broadcast_shapes can_cast common_type isscalar issubdtype iterable min_scalar_type ndim
    promote_types result_type shape size
    """
)
# Functions and methods whose later arguments are indices, or which count places.
INDEXED = _words("take put repeat bincount choose")
PLACES = _words(
    "argmax argmin argpartition argsort flatnonzero lexsort nonzero searchsorted count_nonzero"
)
JOINERS = _words("concatenate concat stack vstack hstack dstack column_stack")

# Methods and attributes of an array. `__index__`, `__contains__`, `setflags` are not among CuPy's.
METHODS = _words(
    """
    all any argmax argmin argpartition argsort astype choose clip compress conj conjugate
    copy cumprod cumsum diagonal dot fill flatten max mean min nonzero partition prod put
    ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take trace
    transpose var view
    """
)
TO_HOST_METHODS = _words("dump dumps item tobytes tofile tolist")
ATTRIBUTES = _words("dtype flags itemsize nbytes ndim shape size strides")
SHAPE_FUNCTIONS = _words("reshape broadcast_to tile full zeros ones empty arange eye")


# After these the host knows a size that the device has computed, so it has waited for the device.
WAITING = _words(
    "argpartition argwhere compress extract flatnonzero nonzero partition setdiff1d"
    " sliding_window_view union1d unique"
)


@dataclass
class Work:
    """What a GPU was asked for.

    Attributes:
        launches: kernels started; at least, since CuPy needs several for some functions.
        copies: from the host to the device.
        waits: how often the host waited for the device, by the line of minirnn that made it wait.
    """

    launches: int = 0
    copies: int = 0
    waits: Counter[str] = field(default_factory=Counter)


_counting: list[Work] = []


@contextmanager
def counted() -> Iterator[Work]:
    """Inside, what is asked of the device is counted."""
    _counting.append(Work())
    try:
        yield _counting[-1]
    finally:
        _counting.pop()


def launched(result: Any = None) -> None:
    """Count a launch, unless the result is a view of what was there."""
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    if not (isinstance(first, np.ndarray) and first.base is not None):
        for work in _counting:
            work.launches += 1


def _copied() -> None:
    for work in _counting:
        work.copies += 1


def _waited() -> None:
    if not _counting:
        return
    frame: Any = sys._getframe(1)
    while frame.f_back and "minirnn/" not in frame.f_code.co_filename:
        frame = frame.f_back
    where = f"{frame.f_code.co_filename.rpartition('minirnn/')[2]}:{frame.f_lineno}"
    for work in _counting:
        work.waits[where] += 1


_TINY = np.finfo(np.float32).tiny


def flushed(array: np.ndarray) -> np.ndarray:
    """The array, with float32 numbers that are not normal set to 0; a view is left alone."""
    if array.dtype == np.float32 and array.size and array.base is None:
        small = np.absolute(array) < _TINY
        if (array[small] != 0).any():
            array[small] = 0
    return array


#: The integer that this library indexes with. `with_pointers_of_32_bits` makes a library with another.
INTP: Any = np.int64


class DeviceArray:
    """An array "on the device": a NumPy array that nobody outside gets at but by `get`."""

    __array_priority__ = 100
    __slots__ = ("_held", "_thread")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray) -> None:
        self._held = flushed(array)
        self._thread = threading.get_ident()

    @property
    def _array(self) -> np.ndarray:
        if self._thread != threading.get_ident():
            raise RuntimeError(
                "an array of the device is used in another thread than the one that made it; "
                "CuPy's device and stream are per thread"
            )
        return self._held

    def get(self) -> np.ndarray:
        """Copy to the host, the only way there."""
        _waited()
        return self._array.copy()

    def set(self, array: np.ndarray) -> None:
        """Copy from the host, the only way back."""
        _copied()
        self._array[...] = array

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return standin

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        wrapped = getattr(standin, ufunc.__name__)
        return (wrapped if method == "__call__" else getattr(wrapped, method))(*inputs, **settings)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        namespace = standin
        for name in function.__module__.split(".")[1:]:
            namespace = getattr(namespace, name)
        return getattr(namespace, function.__name__)(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return getattr(self._held, name)
        if name == "data":  # where it lies, as `array.data.ptr`: what a kernel of our own is given
            return types.SimpleNamespace(ptr=self._array.ctypes.data)
        if name in ("T", "mT", "real", "imag", "flat", "base"):
            if name == "flat":
                return DeviceArray(self._array.reshape(-1))
            value = getattr(self._array, name)
            return value if value is None else DeviceArray(value)
        if name in TO_HOST_METHODS:
            _waited()
            return getattr(self._array, name)
        if name in METHODS:
            return _Function(getattr(self._array, name), name, is_method=True)
        # Dunder names end here too: with __array_interface__, np.asarray would silently succeed.
        raise AttributeError(f"'DeviceArray' object has no attribute {name!r}")

    def __getitem__(self, index: Any) -> Any:
        if any(getattr(part, "dtype", None) == np.bool_ for part in _parts(index)):
            _waited()  # for how many are chosen
        chosen = self._array[_index(index)]
        launched(chosen)
        return _wrap(chosen)

    def __setitem__(self, index: Any, value: Any) -> None:
        launched()
        self._array[_index(index)] = _operand(value)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        _waited()
        return bool(self._array)

    def __int__(self) -> int:
        _waited()
        return int(self._array)

    def __float__(self) -> float:
        _waited()
        return float(self._array)

    def __complex__(self) -> complex:
        _waited()
        return complex(self._array)

    def __repr__(self) -> str:
        return f"Device{self._array!r}"

    def __format__(self, specification: str) -> str:
        return format(self._array if specification == "" else self._array[()], specification)

    def __copy__(self) -> DeviceArray:
        return DeviceArray(self._array.copy())

    def __deepcopy__(self, memo: Any) -> DeviceArray:
        return DeviceArray(self._array.copy())

    def __reduce__(self) -> Any:
        return DeviceArray, (self._array,)


def _binary(name: str) -> Any:
    function = getattr(operator, name)

    def forward(self: DeviceArray, other: Any) -> Any:
        if not _is_operand(other):
            return _defer(other)
        result = function(self._array, _operand(other))
        launched()
        return _wrap(_with_own_integers(result, (self, other)))

    def reflected(self: DeviceArray, other: Any) -> Any:
        if not _is_operand(other):
            return _defer(other)
        result = function(_operand(other), self._array)
        launched()
        return _wrap(_with_own_integers(result, (self, other)))

    def in_place(self: DeviceArray, other: Any) -> Any:
        if not _is_operand(other):
            return _defer(other)
        self._held = getattr(operator, "i" + name.strip("_"))(self._array, _operand(other))
        flushed(self._held)
        launched()
        return self

    return forward, reflected, in_place


def _unary(name: str) -> Any:
    function = getattr(operator, name)

    def apply(self: DeviceArray) -> Any:
        launched()
        return _wrap(function(self._array))

    return apply


def _defer(other: Any) -> Any:
    """What an operator answers for something foreign: the other's operator, or a TypeError."""
    if isinstance(other, (np.ndarray, list, tuple)):
        raise TypeError(f"Unsupported type {type(other)}")
    return NotImplemented


for _name in _words("add sub mul truediv floordiv mod pow lshift rshift and_ or_ xor matmul"):
    _forward, _reflected, _in_place = _binary(_name)
    _stem = _name.strip("_")
    setattr(DeviceArray, f"__{_stem}__", _forward)
    setattr(DeviceArray, f"__r{_stem}__", _reflected)
    if _name != "matmul":  # CuPy has no @=
        setattr(DeviceArray, f"__i{_stem}__", _in_place)
for _name in _words("eq ne lt le gt ge"):
    setattr(DeviceArray, f"__{_name}__", _binary(_name)[0])
for _name in _words("neg pos abs invert"):
    setattr(DeviceArray, f"__{_name}__", _unary(_name))
DeviceArray.__divmod__ = lambda self, other: (self // other, self % other)  # type: ignore[attr-defined]


def _is_operand(x: Any) -> bool:
    return isinstance(x, (DeviceArray, bool, int, float, complex, np.generic))


def _operand(x: Any) -> Any:
    """The NumPy value of what may stand beside a device array: another one, or a scalar."""
    if isinstance(x, DeviceArray):
        return x._array
    if _is_operand(x):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _parts(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(i) for i in index)
    if isinstance(index, slice):
        for bound in (index.start, index.stop, index.step):
            if isinstance(bound, (DeviceArray, np.ndarray)):
                raise TypeError(
                    "slice indices must be integers or None or have an __index__ method"
                )
        return index
    if isinstance(index, list):
        return [_index(i) for i in index]
    if index is None or index is Ellipsis:
        return index
    return _fits_a_pointer(_operand(index))


def _fits_a_pointer(index: Any) -> Any:
    if (
        INTP is np.int32
        and isinstance(index, np.ndarray)
        and index.ndim
        and index.dtype == np.int64
    ):
        raise TypeError(
            "Cannot cast array data from dtype('int64') to dtype('int32') according to the rule 'safe'"
        )
    return index


def _is_wide(x: Any) -> bool:
    """Whether an argument brings 64 bits along: an array of them, or their name as a dtype."""
    if isinstance(x, (list, tuple)):
        return any(_is_wide(item) for item in x)
    if isinstance(x, DeviceArray):
        return bool(x.dtype == np.int64)
    return x is np.int64 or x == "int64" if isinstance(x, (str, type, np.dtype)) else False


def _with_own_integers(result: Any, inputs: Any) -> Any:
    """Integers that nobody asked to have 64 bits (of arange, argsort, sum, …) are pointers' ones."""
    if INTP is np.int64 or _is_wide(inputs):
        return result
    if isinstance(result, tuple):
        items = [_with_own_integers(item, ()) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else tuple(items)
    if isinstance(result, np.generic | np.ndarray) and result.dtype == np.int64:
        return result.astype(np.int32)
    return result


def _unwrap(x: Any) -> Any:
    """Take device arrays apart in an argument; refuse host arrays wherever they hide."""
    if isinstance(x, DeviceArray):
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(_unwrap(item) for item in x)
    return x


def _wrap(x: Any, numbers: bool = True) -> Any:
    """Results of the device are device arrays; a single number is a 0-d array."""
    if isinstance(x, np.ndarray):
        return DeviceArray(x)
    if numbers and isinstance(x, (np.generic, bool, int, float, complex)):
        return DeviceArray(np.asarray(x))
    if isinstance(x, tuple):
        items = [_wrap(item, numbers) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    if isinstance(x, list):
        return [_wrap(item, numbers) for item in x]
    return x


def _holds_device_array(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_device_array(item) for item in x)
    return isinstance(x, DeviceArray)


def _refuse_keywords(name: str, settings: dict) -> None:
    lacking = LACKING_KEYWORDS | LACKING_KEYWORDS_OF.get(name, set())
    for keyword in settings:
        if keyword in lacking:
            raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}")
    if name in ("sort", "argsort") and settings.get("kind") not in (None, "stable"):
        raise ValueError(f"{name}: kind={settings['kind']!r} is not supported")


class _Function:
    """A function of NumPy, or a method of one array, with what CuPy's would refuse refused."""

    def __init__(self, function: Any, name: str, is_method: bool = False) -> None:
        self._function = function
        self._is_method = is_method
        self.__name__ = name

    def __call__(self, *args: Any, **settings: Any) -> Any:
        name = self.__name__
        _refuse_keywords(name, settings)
        everything = (*args, *settings.values())
        if not (self._is_method or name in CREATORS or name in DESCRIBERS) and not any(
            _holds_device_array(x) or (name == "where" and _is_operand(x)) for x in everything
        ):
            raise TypeError(f"{name}: no array of the device among the arguments")
        if name in JOINERS and not (
            isinstance(args[0], DeviceArray) or all(isinstance(x, DeviceArray) for x in args[0])
        ):
            raise TypeError("Only cupy arrays can be concatenated")
        if name in SHAPE_FUNCTIONS:
            shape = args if self._is_method or name in ("arange", "eye") else args[1:2]
            shape = args[:1] if name in ("full", "zeros", "ones", "empty") else shape
            if any(_holds_device_array(x) for x in shape):
                raise TypeError("'DeviceArray' object cannot be interpreted as an integer")
        if _holds_device_array(settings.get("axis")):
            raise TypeError("'DeviceArray' object cannot be interpreted as an integer")
        if name in INDEXED:
            for indices in everything[0 if self._is_method or name == "bincount" else 1 :]:
                _index(indices) if isinstance(indices, DeviceArray) else None
        if name in ("sort", "argsort"):
            settings["kind"] = "stable"  # CuPy's always are
        result = self._function(
            *[_unwrap(x) for x in args], **{key: _unwrap(x) for key, x in settings.items()}
        )
        if name in WAITING or (name == "where" and len(everything) == 1):
            _waited()
        if name not in DESCRIBERS:
            launched(result)
        owner = getattr(self._function, "__self__", None)  # the array, of a method
        is_wide = self._is_method and getattr(owner, "dtype", None) == np.int64
        if not (is_wide and name not in PLACES):
            result = _with_own_integers(result, () if name in PLACES else everything)
        out = settings.get("out")
        if isinstance(out, DeviceArray):
            flushed(out._array)
            return out
        return _wrap(result, numbers=name not in DESCRIBERS)


class _Ufunc:
    """A ufunc of NumPy that takes device arrays and scalars only, and CuPy's keywords only."""

    def __init__(self, function: np.ufunc) -> None:
        self._function = function
        self.__name__ = function.__name__

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self._apply(
            self._function, args, settings, ("out", "dtype", "casting", "axes", "axis")
        )

    def reduce(self, array: Any, axis: Any = 0, **settings: Any) -> Any:
        settings["axis"] = axis
        keywords = ("axis", "dtype", "out", "keepdims")
        return self._apply(self._function.reduce, (array,), settings, keywords)

    def accumulate(self, array: Any, axis: int = 0, **settings: Any) -> Any:
        settings["axis"] = axis
        return self._apply(self._function.accumulate, (array,), settings, ("axis", "dtype", "out"))

    def reduceat(self, array: Any, indices: Any, axis: int = 0, **settings: Any) -> Any:
        settings["axis"] = axis
        keywords = ("axis", "dtype", "out")
        if isinstance(indices, list):
            indices = DeviceArray(np.asarray(indices))
        return self._apply(self._function.reduceat, (array, indices), settings, keywords)

    def outer(self, a: Any, b: Any, **settings: Any) -> Any:
        return self._apply(self._function.outer, (a, b), settings, ("dtype", "out"))

    def at(self, target: DeviceArray, index: Any, *values: Any) -> None:
        if self.__name__ not in SCATTERS:
            raise NotImplementedError(f"`{self.__name__}.at` is not supported yet")
        if not isinstance(target, DeviceArray):
            raise TypeError(f"Unsupported type {type(target)}")
        launched()
        self._function.at(target._array, _index(index), *[_operand(x) for x in values])

    def _apply(self, function: Any, args: tuple, settings: dict, keywords: tuple) -> Any:
        for keyword in settings:
            if keyword not in keywords:
                raise TypeError(f"Wrong arguments {{{keyword!r}}}")
        out = settings.pop("out", None)
        out = out[0] if isinstance(out, tuple) else out
        if out is not None:
            if not isinstance(out, DeviceArray):
                raise TypeError("return arrays must be of ArrayType")
            settings["out"] = out._array
        result = function(*[_operand(x) for x in args], **settings)
        launched()
        result = _with_own_integers(result, (*args, settings.get("dtype")))
        if out is not None:
            flushed(out._array)
        return _wrap(result) if out is None else out


class _IndexTrick:
    def __init__(self, trick: Any) -> None:
        self._trick = trick

    def __getitem__(self, key: Any) -> Any:
        return _wrap(_with_own_integers(self._trick[key], ()))


class _Namespace:
    """A module-like object: what `numpy` has under this name, less what CuPy lacks."""

    def __init__(self, name: str, original: Any, lacking: frozenset[str], only: Any = None) -> None:
        self.__name__ = name
        self._nodeal = original
        self._lacking = lacking
        self._only = only

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in self._lacking or (self._only and name not in self._only):
            raise AttributeError(
                f"module {self.__name__!r} has no attribute {name!r}, nor has CuPy"
            )
        value = _as_on_device(getattr(self._nodeal, name), name)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}>"


def _as_on_device(value: Any, name: str) -> Any:
    if isinstance(value, np.ufunc):
        return _Ufunc(value)
    if isinstance(value, type):
        is_description = issubclass(value, (np.generic, np.dtype, np.iinfo, np.finfo, np.ndindex))
        if value is bool or is_description or issubclass(value, Exception):
            return value
        raise AttributeError(f"the stand-in has no {name!r}: add it if stage code needs it")
    if name in ("mgrid", "ogrid", "r_", "c_"):
        return _IndexTrick(value)
    if name in ("s_", "index_exp") or value is None or isinstance(value, (float, int)):
        return value
    if callable(value):
        return _Function(value, name)
    raise AttributeError(f"the stand-in has no {name!r}: add it if stage code needs it")


def _asarray_like(function: Any, name: str) -> Any:
    """`asarray` and friends: the one door through which host arrays come in."""

    def create(source: Any, *args: Any, **settings: Any) -> DeviceArray:
        _refuse_keywords(name, settings)
        if _holds_device_array(source):
            wide = _is_wide(source)
            source = _unwrap(source)  # a device array, or a list of nothing else
            made = function(source, *args, **settings)
            return DeviceArray(
                made if wide else _with_own_integers(made, (args, settings.get("dtype")))
            )
        _copied()
        made = function(source, *args, **settings)
        # What comes from the host: its default integers have 64 bits here, and 32 on such a platform.
        made = _with_own_integers(made, (args, settings.get("dtype")))
        return DeviceArray(made.copy() if made is source else made)  # the way to a device copies

    create.__name__ = name
    return create


# ---------------------------------------------------------------- sparse matrices


class SparseMatrix:
    """A sparse matrix of the device: a SciPy one whose parts and products are device arrays."""

    __array_ufunc__ = None

    def __init__(self, matrix: Any) -> None:
        if matrix.dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        self._matrix = matrix

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return standin

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "nnz", "ndim", "format"):
            return getattr(self._matrix, name)
        if name == "dtype":
            return self._matrix.dtype
        if name in ("data", "indices", "indptr", "row", "col"):
            return DeviceArray(getattr(self._matrix, name))
        if name in ("sum", "toarray", "diagonal", "dot", "multiply", "mean"):
            return lambda *args, **settings: _wrap_sparse(
                getattr(self._matrix, name)(*[_unwrap_sparse(x) for x in args], **settings)
            )
        if name in ("T", "tocsr", "tocsc", "tocoo", "astype", "copy", "transpose", "conj"):
            value = getattr(self._matrix, name)
            if name == "T":
                return SparseMatrix(value)
            return lambda *args, **settings: SparseMatrix(value(*args, **settings))
        if name in ("sum_duplicates", "sort_indices", "eliminate_zeros"):
            return getattr(self._matrix, name)
        raise AttributeError(f"the stand-in's sparse matrix has no attribute {name!r}")

    def get(self) -> Any:
        """Copy to the host: a SciPy matrix."""
        _waited()
        return self._matrix.copy()

    def __matmul__(self, other: Any) -> Any:
        return _wrap_sparse(self._matrix @ _unwrap_sparse(other))

    def __rmatmul__(self, other: Any) -> Any:
        return _wrap_sparse(_unwrap_sparse(other) @ self._matrix)

    def __mul__(self, other: Any) -> Any:
        return _wrap_sparse(self._matrix * _unwrap_sparse(other))

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Any:
        return _wrap_sparse(self._matrix + _unwrap_sparse(other))

    def __neg__(self) -> Any:
        return SparseMatrix(-self._matrix)

    def __getitem__(self, index: Any) -> Any:
        return _wrap_sparse(self._matrix[_index(index)])


def _unwrap_sparse(x: Any) -> Any:
    if isinstance(x, SparseMatrix):
        return x._matrix
    if scipy.sparse.issparse(x):
        raise TypeError(f"Unsupported type {type(x)}")
    return _operand(x)


def _wrap_sparse(x: Any) -> Any:
    if scipy.sparse.issparse(x):
        return SparseMatrix(x)
    return _wrap(np.asarray(x))


def _sparse_maker(name: str) -> Any:
    maker = getattr(scipy.sparse, name)

    def create(
        source: Any, shape: Any = None, dtype: Any = None, copy: bool = False
    ) -> SparseMatrix:
        if isinstance(source, (SparseMatrix, DeviceArray)):
            source = source._matrix if isinstance(source, SparseMatrix) else source._array
        elif isinstance(source, tuple) and not all(isinstance(x, int) for x in source):
            source = _unwrap(source)
        elif not isinstance(source, tuple):
            raise TypeError(f"Unsupported type {type(source)}")
        return SparseMatrix(maker(source, shape=shape, dtype=dtype, copy=copy))

    create.__name__ = name
    return create


class _Sparse:
    __name__ = "standin.sparse"

    def __init__(self) -> None:
        for name in (
            "csr_matrix",
            "csr_array",
            "csc_matrix",
            "csc_array",
            "coo_matrix",
            "coo_array",
        ):
            setattr(self, name, _sparse_maker(name))

    def issparse(self, x: Any) -> bool:
        return isinstance(x, SparseMatrix)

    def vstack(self, blocks: Any, format: str | None = None) -> SparseMatrix:
        return SparseMatrix(scipy.sparse.vstack([_unwrap_sparse(x) for x in blocks], format=format))

    def hstack(self, blocks: Any, format: str | None = None) -> SparseMatrix:
        return SparseMatrix(scipy.sparse.hstack([_unwrap_sparse(x) for x in blocks], format=format))

    def block_diag(self, blocks: Any, format: str | None = None) -> SparseMatrix:
        blocks = [_unwrap_sparse(x) for x in blocks]
        return SparseMatrix(scipy.sparse.block_diag(blocks, format=format))


# ---------------------------------------------------------------- the library itself

# Random numbers are drawn on the host (cupy.random.Generator has neither normal nor permutation).
standin: Any = _Namespace("standin", np, LACKING | {"random", "lib", "testing", "polynomial"})
standin.linalg = _Namespace("standin.linalg", np.linalg, LACKING_LINALG)
standin.fft = _Namespace("standin.fft", np.fft, frozenset())
standin.lib = _Namespace("standin.lib", np.lib, frozenset(), only={"stride_tricks"})
standin.lib.stride_tricks = _Namespace(
    "standin.lib.stride_tricks",
    np.lib.stride_tricks,
    frozenset(),
    only={"as_strided", "sliding_window_view"},
)
standin.sparse = _Sparse()
standin.ndarray = DeviceArray
standin.asnumpy = lambda array: array.get() if isinstance(array, DeviceArray) else np.asarray(array)
for _name in ("asarray", "array", "asanyarray", "ascontiguousarray"):
    setattr(standin, _name, _asarray_like(getattr(np, _name), _name))


def with_pointers_of_32_bits() -> Any:
    """Another such library, of a platform where `intp` is int32 and int64 is refused as an index.

    Integers that nobody asked to have 64 bits are int32 there, as NumPy's are on such a platform.
    Where the code under test says `numpy.intp`, the test has to replace that too.
    """
    spec = importlib.util.spec_from_file_location("standin_of_32_bits", __file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    module.INTP = np.int32  # type: ignore[attr-defined]
    module.standin.intp = np.int32
    module.standin.__name__ = "standin_of_32_bits"
    return module.standin
