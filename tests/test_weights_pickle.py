"""Reading a pickle: what it says comes out, and what it wants to run is refused."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.errors import InputError
from minirnn.weights.pickle_reader import Named, mapping, read_pickle

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text() | st.integers() | st.floats(allow_nan=False)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(trees, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_objects_come_out_as_from_the_standard_library(tree, protocol):
    data = pickle.dumps(tree, protocol=protocol)
    stream = io.BytesIO(data + b"next")
    read = read_pickle(stream, {})
    assert repr(read) == repr(pickle.loads(data))  # equal, and of equal types
    assert stream.read() == b"next"


@given(st.lists(st.integers(), max_size=3), st.sets(st.text(), max_size=3))
@settings(max_examples=20)
def test_shared_objects_stay_shared(items, names):
    first, second, third = read_pickle(io.BytesIO(pickle.dumps((items, items, names), 4)), {})
    assert first is second
    assert (first, third) == (items, names)


def test_a_name_stands_for_itself_and_is_not_imported():
    data = b"\x80\x02cdecimal_of_nowhere\nNumber\n."
    assert read_pickle(io.BytesIO(data), {"decimal_of_nowhere.Number": None}) == Named(
        "decimal_of_nowhere.Number"
    )
    assert "decimal_of_nowhere" not in sys.modules


def test_an_allowed_name_calls_our_own_function_and_drops_the_state_of_objects():
    ordered = collections.OrderedDict(a=1)
    ordered.extra = "attribute"  # as state_dict's _metadata
    for protocol in (2, 4):
        read = read_pickle(
            io.BytesIO(pickle.dumps(ordered, protocol)), {"collections.OrderedDict": mapping}
        )
        assert read == {"a": 1}
        assert type(read) is dict


class Attack:
    """Pickled, it calls os.mkdir as soon as it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


EVERYTHING_HARMLESS = {"collections.OrderedDict": mapping, "torch.FloatStorage": None}


def attacks(folder: str) -> dict[str, bytes]:
    path = b"X" + len(folder).to_bytes(4, "little") + folder.encode()
    line = f"S'{folder}'\n".encode()
    return {
        "reduce": pickle.dumps({"weight": Attack(folder)}, 2),
        "stack global": pickle.dumps([Attack(folder)], 4),
        "text protocol": pickle.dumps(Attack(folder), 0),
        "newobj": b"\x80\x02cos\nmkdir\n(" + path + b"t\x81.",
        "inst": b"(" + line + b"ios\nmkdir\n.",
        "obj": b"(cos\nmkdir\n" + path + b"o.",
        "eval": b"c__builtin__\neval\n(S'__import__(\"os\").mkdir(1)'\ntR.",
        "attribute of an allowed name": b"\x80\x04\x8c\x0bcollections\x8c\x1d"
        b"OrderedDict.__init_subclass__\x93)R.",
        "in pieces": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93(" + path + b"tR.",
        "extension": b"\x80\x02\x82\x01(" + path + b"tR.",
        "a storage is called": b"\x80\x02ctorch\nFloatStorage\n(" + path + b"tR.",
        "a text is called": b"\x80\x02" + path + b"(" + path + b"tR.",
        "persistent without a reader": b"\x80\x02" + path + b"Q.",
        "a function as a module's state": b"\x80\x02cos\nenviron\n}" + path + path + b"sb.",
    }


@pytest.mark.parametrize("name", attacks(""))
def test_malicious_pickles_are_refused_and_not_run(name, tmp_path):
    target = tmp_path / "made-by-the-pickle"
    with pytest.raises(InputError, match=r"refused|instruction"):
        read_pickle(io.BytesIO(attacks(str(target))[name]), EVERYTHING_HARMLESS)
    assert not target.exists()


def test_the_attack_would_work_on_the_standard_library(tmp_path):
    target = tmp_path / "made-by-the-pickle"
    pickle.loads(attacks(str(target))["reduce"])
    assert target.is_dir()


def test_the_refusal_says_what_was_asked_for():
    with pytest.raises(InputError, match=r"'posix\.mkdir'|'nt\.mkdir'"):
        read_pickle(io.BytesIO(pickle.dumps(Attack("x"), 2)), {})


def test_deeply_nested_keys_do_not_crash_the_interpreter():
    nested = b"\x80\x02})" + b"\x85" * 200_000 + b"Ns."
    with pytest.raises(InputError, match="key"):
        read_pickle(io.BytesIO(nested), {})


def test_a_list_that_is_copied_again_and_again_takes_no_memory():
    """`torch.Size` of one long list, three hundred times: each call would copy it."""
    numbers = b"K\x01" * 10_000
    size = b"ctorch\nSize\nq\x01(" + b"](" + numbers + b"eq\x02"
    many = size + b"h\x01h\x02\x85R" * 300 + b"t."
    with pytest.raises(InputError, match="copies the same things again and again"):
        read_pickle(io.BytesIO(b"\x80\x02" + many), {"torch.Size": tuple})
    once = b"\x80\x02" + size + b"h\x01h\x02\x85R" + b"t."
    assert len(read_pickle(io.BytesIO(once), {"torch.Size": tuple})[-1]) == 10_000


def test_huge_memo_index_takes_no_memory():
    assert read_pickle(io.BytesIO(b"\x80\x02Nr\xff\xff\xff\x7f."), {}) is None


@settings(max_examples=150)
@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_an_input_error(data):
    for start in (b"", b"\x80\x02", b"\x80\x02]("):
        with contextlib.suppress(InputError):
            read_pickle(io.BytesIO(start + data), EVERYTHING_HARMLESS, lambda what: what)


def test_every_cut_of_a_pickle_is_refused():
    data = pickle.dumps({"a": [1, 2.5, "text", (None, True)]}, 2)
    for length in range(len(data)):
        with pytest.raises(InputError, match="cut short"):
            read_pickle(io.BytesIO(data[:length]), {})
