"""Finding one's way in a pickled `torch.nn.Module` by names, whatever classes it was made of."""

from __future__ import annotations

from collections.abc import Iterator

from prima_features.weights.records import CheckpointError, Global, Record
from prima_features.weights.stored_tensor import StoredTensor, as_tensor

_MAX_DEPTH = 32


class Module:
    """A record whose state has a module's `_modules`, `_parameters` and `_buffers`.

    A DataParallel or DistributedDataParallel around a module is looked through, here and at each child.

    Args:
        record: the module's record.
        path: where it was found, for messages; empty for the top.

    Raises:
        CheckpointError: the record is no module.
    """

    def __init__(self, record: object, path: str) -> None:
        for _ in range(_MAX_DEPTH):
            state = _state(record, path)
            inner = state.get("_modules")
            if not (isinstance(inner, dict) and list(inner) == ["module"]):
                break
            record = inner["module"]
        self.path = path
        self._state = state
        self.class_name = (
            record.of.name if isinstance(record, Record) and isinstance(record.of, Global) else ""
        )

    def has(self, name: str) -> bool:
        """Whether it has a submodule of that name."""
        return self._members("_modules").get(name) is not None

    def find(self, path: str) -> Module | None:
        """The submodule at a dotted path, or None."""
        module = self
        for name in path.split("."):
            if not module.has(name):
                return None
            module = module.child(name)
        return module

    def child(self, path: str) -> Module:
        """The submodule at a dotted path.

        Raises:
            CheckpointError: there is none.
        """
        first, _, rest = path.partition(".")
        if not self.has(first):
            raise CheckpointError(
                f"has no {self._below(first)}: this is not the layout of a Prima checkpoint"
            )
        child = Module(self._members("_modules")[first], self._below(first))
        return child.child(rest) if rest else child

    def children(self) -> dict[str, Module]:
        """The submodules by name, in their order."""
        return {str(name): self.child(str(name)) for name in self._members("_modules") if self.has(str(name))}

    def tensor(self, name: str) -> StoredTensor:
        """The parameter, buffer or plain attribute of that name.

        Raises:
            CheckpointError: there is no such tensor.
        """
        if (tensor := self.find_tensor(name)) is None:
            raise CheckpointError(
                f"has no tensor {self._below(name)}: this is not the layout of a Prima checkpoint"
            )
        return tensor

    def find_tensor(self, name: str) -> StoredTensor | None:
        """Like `tensor`, or None."""
        places = (self._members("_parameters"), self._members("_buffers"), self._state)
        found = (as_tensor(members.get(name)) for members in places)
        return next((tensor for tensor in found if tensor is not None), None)

    def parameters(self) -> dict[str, StoredTensor]:
        """All parameters below, by their state-dict names."""
        return dict(self._walk("_parameters", "", 0))

    def buffers(self) -> dict[str, StoredTensor]:
        """All buffers below, by their names; those too that a state dict leaves out."""
        return dict(self._walk("_buffers", "", 0))

    def attribute(self, name: str, default: object = None) -> object:
        """A plain attribute of the pickled module, as inert records."""
        return self._state.get(name, default)

    def _below(self, name: str) -> str:
        return f"{self.path}.{name}".removeprefix(".")

    def _members(self, kind: str) -> dict[object, object]:
        members = self._state.get(kind)
        return members if isinstance(members, dict) else {}

    def _walk(self, kind: str, prefix: str, depth: int) -> Iterator[tuple[str, StoredTensor]]:
        if depth > _MAX_DEPTH:
            raise CheckpointError(f"nests {self.path} deeper than {_MAX_DEPTH} modules")
        for name, value in self._members(kind).items():
            if (tensor := as_tensor(value)) is not None:
                yield f"{prefix}{name}", tensor
        for name, child in self.children().items():
            yield from child._walk(kind, f"{prefix}{name}.", depth + 1)


def _state(record: object, path: str) -> dict[object, object]:
    state = record.state if isinstance(record, Record) else None
    if not (isinstance(state, dict) and isinstance(state.get("_modules"), dict)):
        raise CheckpointError(
            f"holds no torch module at {path or 'its top'}: a whole pickled model is expected"
        )
    return state
