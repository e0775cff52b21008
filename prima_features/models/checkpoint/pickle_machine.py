"""The pickle format's stack machine, without the parts that look names up or call them."""

from __future__ import annotations

from typing import Any

from prima_features.models.checkpoint.records import CheckpointError, Global, Record


class Machine:
    """The stack, marks and memo of the pickle format, filled with plain containers and records only."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, item: Any) -> None:
        self.stack.append(item)

    def pop(self) -> Any:
        if not self.stack:
            raise CheckpointError("contains a damaged pickle (an empty stack)")
        return self.stack.pop()

    def top(self) -> Any:
        self.push(item := self.pop())
        return item

    def pop_to_mark(self) -> list[Any]:
        if not self.outer:
            raise CheckpointError("contains a damaged pickle (no mark)")
        items, self.stack = self.stack, self.outer.pop()
        return items

    def mark(self, _: Any) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def tuple_of(self, length: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(length)])))

    def extend(self, items: list[Any]) -> None:
        if isinstance(target := self.top(), list):
            target.extend(items)

    def set_items(self, flat: list[Any]) -> None:
        if isinstance(target := self.top(), dict):
            target.update(_entries(zip(flat[::2], flat[1::2], strict=False)))

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise CheckpointError("contains a damaged pickle (a global without a name)")
        self.push(Global(module, name))

    def call(self, _: Any) -> None:
        args, of = self.pop(), self.pop()
        self.push(_built(of, args))

    def call_with_keywords(self, _: Any) -> None:
        keywords, args, of = self.pop(), self.pop(), self.pop()
        self.push(Record(of, (args, keywords)))

    def build(self, _: Any) -> None:
        state = self.pop()
        if isinstance(target := self.top(), Record):
            target.state = state

    def put(self, key: int) -> None:
        self.memo[key] = self.top()

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise CheckpointError("contains a damaged pickle (an unknown reference)")
        self.push(self.memo[key])


def _built(of: object, args: object) -> object:
    """Plain containers for the few names that stand for them, else a record."""
    items = args[0] if isinstance(args, tuple) and args else ()
    if of == Global("collections", "OrderedDict"):
        pairs = items if isinstance(items, list) else []
        return _entries(pair for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2)
    if (
        isinstance(of, Global)
        and of.module in ("builtins", "__builtin__")
        and of.name in ("set", "frozenset")
    ):
        return list(items) if isinstance(items, list | tuple) else []
    return Record(of, args)


def _entries(pairs: Any) -> dict[Any, Any]:
    keys = str | int | float | bytes | None
    return {key: value for key, value in pairs if isinstance(key, keys)}
