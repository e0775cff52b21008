"""Finding one's way in a pickled `torch.nn.Module` by names, whatever classes it was made of."""

from __future__ import annotations

from prima_features.models.checkpoint.records import CheckpointError, Global, Record
from prima_features.models.checkpoint.stored_tensor import StoredTensor, as_tensor

# Bounds on files built to be walked for ever: shared modules are met twice at each level.
_MAX_WRAPPERS = 32
_MAX_MODULES = 10_000


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
        for _ in range(_MAX_WRAPPERS):
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
        return self._tensors("_parameters")

    def buffers(self) -> dict[str, StoredTensor]:
        """All buffers below, by their names; those too that a state dict leaves out."""
        return self._tensors("_buffers")

    def attribute(self, name: str, default: object = None) -> object:
        """A plain attribute of the pickled module, as inert records."""
        return self._state.get(name, default)

    def _below(self, name: str) -> str:
        return f"{self.path}.{name}".removeprefix(".")

    def _members(self, kind: str) -> dict[object, object]:
        members = self._state.get(kind)
        return members if isinstance(members, dict) else {}

    def _tensors(self, kind: str) -> dict[str, StoredTensor]:
        found: dict[str, StoredTensor] = {}
        waiting = [("", self)]
        for _ in range(_MAX_MODULES):
            if not waiting:
                return found
            prefix, module = waiting.pop()
            tensors = {f"{prefix}{name}": as_tensor(value) for name, value in module._members(kind).items()}
            found |= {name: tensor for name, tensor in tensors.items() if tensor is not None}
            waiting += [(f"{prefix}{name}.", child) for name, child in module.children().items()]
        raise CheckpointError(f"contains more than {_MAX_MODULES} modules at {self.path or 'its top'}")


def _state(record: object, path: str) -> dict[object, object]:
    state = record.state if isinstance(record, Record) else None
    if not (isinstance(state, dict) and isinstance(state.get("_modules"), dict)):
        raise CheckpointError(
            f"contains no torch module at {path or 'its top'}: a whole pickled model is expected"
        )
    return state
