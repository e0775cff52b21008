"""Reading a pickle as inert records: no class or function that it names is looked up, let alone called.

`pickletools.genops` splits the pickle into opcodes, which are replayed on plain lists and dicts. A global
becomes a `Global` (two strings); what unpickling would build by a call becomes a `Record` of what would have
been called and with what.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

from prima_features.models.checkpoint.pickle_machine import Machine
from prima_features.models.checkpoint.records import CheckpointError, Global, PersistentId

MAX_OPCODES = 5_000_000
"""Some twenty times what the published checkpoint needs; bounds the memory that a hostile file can take."""


def read_records(data: bytes) -> object:
    """The object graph of a pickle, as str, int, float, bool, None, bytes, list, tuple, dict and records.

    Sets are read as lists. A dict entry under a key other than a str, int, float, bool, bytes or None is left
    out: such a key could be built to take for ever to hash, and none is ever asked for.

    Raises:
        CheckpointError: bytes that are not a whole pickle, or opcodes that `torch.save` does not write.
    """
    machine = Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count == MAX_OPCODES:
                raise CheckpointError(f"contains a pickle of more than {MAX_OPCODES} steps")
            _step(machine, opcode.name, argument)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"contains a damaged pickle ({error})") from error
    return machine.pop()


def _step(machine: Machine, name: str, argument: Any) -> None:
    if name in _VALUES:
        machine.push(_VALUES[name])
    elif name in _LITERALS:
        machine.push(argument)
    elif name in _ACTIONS:
        _ACTIONS[name](machine, argument)
    else:
        raise CheckpointError(f"contains a pickle with the step {name}, which torch.save does not write")


_VALUES: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_ACTIONS: dict[str, Callable[[Machine, Any], Any]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": Machine.mark,
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, names: machine.push(Global(*names.split(" ", 1))),
    "STACK_GLOBAL": Machine.stack_global,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.call,
    "NEWOBJ_EX": Machine.call_with_keywords,
    "BUILD": Machine.build,
    "BINPERSID": lambda machine, _: machine.push(PersistentId(machine.pop())),
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
}
