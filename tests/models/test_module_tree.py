"""Walking a module tree that was built to be walked for ever."""

import pytest

from prima_features.encoders.prima.convert.heads import heads
from prima_features.encoders.prima.convert.vit import transformer
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError, Global, Record


def record(**modules: object) -> Record:
    return Record(Global("model", "Part"), (), {"_modules": modules})


def test_a_tree_of_shared_modules_is_left_after_a_while() -> None:
    tree = record()
    for _ in range(60):
        tree = record(left=tree, right=tree)
    with pytest.raises(CheckpointError, match="more than 10000 modules"):
        Module(tree, "").parameters()


def test_a_module_that_holds_itself_is_left_after_a_while() -> None:
    tree = record(inner=None)
    tree.state["_modules"]["inner"] = tree  # type: ignore[index]
    with pytest.raises(CheckpointError, match="more than 10000 modules"):
        Module(tree, "").buffers()
    around = record(module=None)
    around.state["_modules"]["module"] = around  # type: ignore[index]
    assert Module(around, "").has("module")


def test_endless_layers_and_heads_of_one_record_are_refused() -> None:
    layers = record(**{str(i): record() for i in range(1000)})
    with pytest.raises(CheckpointError, match="has 1000 layers"):
        transformer(Module(record(layers=layers), ""), "sequence")
    model = record()
    model.state["diagnosisheads"] = {str(i): [record(), 0] for i in range(2000)}  # type: ignore[index]
    with pytest.raises(CheckpointError, match="at most 1000 names"):
        heads(Module(model, ""))


def test_what_is_no_module_is_named_by_its_place() -> None:
    with pytest.raises(CheckpointError, match="contains no torch module at its top"):
        Module({}, "")
    with pytest.raises(CheckpointError, match=r"contains no torch module at a\.b"):
        Module(record(a=record(b=3)), "").child("a.b")
    with pytest.raises(CheckpointError, match=r"has no a\.c"):
        Module(record(a=record()), "").child("a.c")
    assert Module(record(a=record()), "").find("a.c") is None
