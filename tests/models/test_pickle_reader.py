"""Nothing that a pickle names is imported or called, and no pickle takes the reader down."""

import pickle
import random
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.models.checkpoint.pickle_reader import MAX_OPCODES, read_records
from prima_features.models.checkpoint.records import CheckpointError, Global, Record

TOUCH = "import pathlib; pathlib.Path({!r}).touch()"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def reduce(module: str, name: str, argument: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + argument + b"\x85R"


def shell(path: Path) -> bytes:
    return text(f"touch {path}")


def python(path: Path) -> bytes:
    return text(TOUCH.format(str(path)))


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda path: reduce("os", "system", shell(path)),
    "posix.system": lambda path: reduce("posix", "system", shell(path)),
    "nt or posix by protocol 4": lambda path: text("os") + text("system") + b"\x93" + shell(path) + b"\x85R",
    "builtins.exec": lambda path: reduce("builtins", "exec", python(path)),
    "py2 eval": lambda path: reduce("__builtin__", "eval", text(f"open({str(path)!r}, 'w').close()")),
    "subprocess.Popen": lambda path: reduce(
        "subprocess", "Popen", b"](" + text("touch") + text(str(path)) + b"e"
    ),
    "runpy": lambda path: b"crunpy\n_run_code\n" + python(path) + b"}\x86R",
    "pickle in a pickle": lambda path: reduce(
        "pickle", "loads", b"C" + bytes([len(inner := reduce("os", "system", shell(path)) + b".")]) + inner
    ),
    "INST": lambda path: b"(" + shell(path) + b"ios\nsystem\n",
    "OBJ": lambda path: b"(cos\nsystem\n" + shell(path) + b"o",
    "in a container": lambda path: b"](" + reduce("os", "system", shell(path)) + b"e",
    "as a dict key": lambda path: b"}(" + reduce("os", "system", shell(path)) + text("value") + b"u",
    "as state": lambda path: b"ccollections\nOrderedDict\n)R" + reduce("os", "system", shell(path)) + b"b",
    "after it is popped": lambda path: reduce("os", "system", shell(path)) + b"0N",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_code_that_a_pickle_names_does_not_run(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = b"\x80\x04" + HOSTILE[name](canary) + b"."
    try:
        read_records(hostile)
    except CheckpointError as error:
        assert "torch.save does not write" in str(error)
    assert not canary.exists()


def test_the_same_bytes_do_run_code_when_they_are_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(b"\x80\x04" + HOSTILE["builtins.exec"](canary) + b".")
    assert canary.exists()


def test_a_module_that_a_pickle_names_is_not_imported() -> None:
    assert "antigravity" not in sys.modules
    assert read_records(b"cantigravity\nfly\n.") == Global("antigravity", "fly")
    assert "antigravity" not in sys.modules


def test_state_with_dunder_names_stays_data() -> None:
    state = b"}(" + text("__class__") + b"cos\nsystem\n" + text("__setstate__") + b"cos\nsystem\nu"
    record = read_records(b"cmodel\nCLIP\n)\x81" + state + b"b" + b"}b.")
    assert type(record) is Record
    assert record.of == Global("model", "CLIP")


def test_slot_state_of_a_class_changes_nothing() -> None:
    state = b"N}" + text("keys") + b"cos\nsystem\ns\x86"
    assert read_records(b"ccollections\nOrderedDict\n)R" + state + b"b.") == {}
    assert read_records(b"ccollections\nOrderedDict\n" + state + b"b.") == Global(
        "collections", "OrderedDict"
    )
    assert OrderedDict.keys is not None


def test_plain_values_come_out_as_they_went_in() -> None:
    values = {
        "a": [1, -2.5, None, True, "é"],
        3: ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "big": 2**80,
        "nested": OrderedDict(b={"c": "d"}),
    }
    for protocol in (2, 3, 4, 5):
        assert read_records(pickle.dumps(values, protocol)) == values
    assert read_records(pickle.dumps(b"\x00\xff", 3)) == b"\x00\xff"
    assert sorted(read_records(pickle.dumps({"x", "y"}, 2))) == ["x", "y"]  # type: ignore[type-var]


def test_an_object_that_occurs_twice_is_one_record() -> None:
    first, second = read_records(b"](cmodel\nCLIP\n)\x81q\x00h\x00e.")  # type: ignore[misc]
    assert first is second


def test_billion_laughs_take_no_time_in_values_keys_or_names() -> None:
    laughs = b")" + b"2\x86" * 5000
    assert isinstance(read_records(laughs + b"."), tuple)
    assert read_records(b"}" + laughs + b"Ns.") == {}
    with pytest.raises(CheckpointError, match="a global without a name"):
        read_records(text("os") + laughs + b"\x93.")


def test_deep_nesting_is_no_recursion() -> None:
    assert isinstance(read_records(b"]" * 300_000 + b"a" * 299_999 + b"."), list)
    assert isinstance(read_records(b"cm\nC\n" + b")R" * 300_000 + b"."), Record)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"garbage",
        b"\x80\x02}",
        b"(",
        b"t.",
        b"h\x07.",
        b"R.",
        b"\x8b\xff\xff\xff\x7f",
        b"\x8e" + b"\xff" * 8,
        b"\x95" + b"\xff" * 8,
        b"X\xff\xff\xff\xff",
        b"L" + b"9" * 5000 + b"L\n.",
        b"\x96" + struct.pack("<Q", 2**62),
        b"\x97.",
        b"\x82\x01.",
    ],
)
def test_a_damaged_pickle_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="pickle"):
        read_records(data)


def test_a_pickle_of_endless_steps_is_refused() -> None:
    with pytest.raises(CheckpointError, match=f"more than {MAX_OPCODES} steps"):
        read_records(b"N0" * (MAX_OPCODES // 2) + b"N.")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_random_damage_never_escapes_as_another_error() -> None:
    draw = random.Random(0)
    whole = pickle.dumps({"a": [OrderedDict(b=(1, 2.0)), Path("c"), {"d"}], "e": "f" * 20}, 2)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(draw.choice([1, 2, 5])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            read_records(bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.2 else data))
        except CheckpointError:
            continue
