"""Loading and saving models: the same numbers, strictly, without initialising anything first."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from prima_features._version import __version__
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import bundled
from prima_features.models.directory import read_checksums

UNTRAINED = "prima-untrained"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled model, to be damaged."""
    return Path(shutil.copytree(bundled.path(UNTRAINED), tmp_path / "model"))


def same(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_bundled_model_is_loaded_by_its_name() -> None:
    model = PrimaModel.from_pretrained(UNTRAINED)
    assert isinstance(model, Prima)
    assert (model.name, model.revision) == (UNTRAINED, __version__)
    assert model.sha256 == sha256(bundled.path(UNTRAINED) / "model.safetensors")
    assert model.preprocessing == Preprocessing()
    assert model.device == torch.device("cpu")
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_a_directory_is_loaded_by_its_path_and_before_a_bundled_model_of_that_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (PrimaModel.from_pretrained(folder).name, PrimaModel.from_pretrained(str(folder)).revision) == (
        "model",
        "local",
    )
    folder.rename(folder.parent / UNTRAINED)
    monkeypatch.chdir(folder.parent)
    assert PrimaModel.from_pretrained(UNTRAINED).revision == "local"


def test_the_number_type_is_chosen_when_loading() -> None:
    model = PrimaModel.from_pretrained(UNTRAINED, dtype=torch.float64)
    assert model.sequence.registers.dtype == torch.float64


def test_loading_initialises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []
    monkeypatch.setattr(
        nn.init, "kaiming_uniform_", lambda tensor, **_: filled.append(tensor.device.type) or tensor
    )
    PrimaModel.from_pretrained(UNTRAINED)
    assert set(filled) == {"meta"}


def test_heads_and_text_tower_are_left_alone(golden_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(golden_model, tmp_path / "copy"))
    (copy / "heads.safetensors").unlink()
    (copy / "text.safetensors").write_bytes(b"damaged")
    PrimaModel.from_pretrained(copy)


def test_a_saved_model_loads_to_the_same_numbers(tmp_path: Path) -> None:
    model = PrimaModel.from_pretrained(UNTRAINED)
    model.save_pretrained(tmp_path / "saved")
    again = PrimaModel.from_pretrained(tmp_path / "saved")
    assert same(model, again)
    assert again.config == model.config
    assert again.sha256 == read_checksums(tmp_path / "saved")["model.safetensors"]
    card = (tmp_path / "saved" / "README.md").read_text()
    assert card == (bundled.path(UNTRAINED) / "README.md").read_text()


def test_a_saved_model_keeps_its_text_tower_with_its_vocabulary_and_heads(
    golden_model: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(golden_model, tmp_path / "copy"))
    (source / "tokenizer.json").write_text("{}")
    PrimaModel.from_pretrained(source).save_pretrained(tmp_path / "saved")
    assert read_config(tmp_path / "saved") == read_config(source)
    for name in ("heads.safetensors", "text.safetensors", "tokenizer.json"):
        assert sha256(tmp_path / "saved" / name) == sha256(source / name)
    assert read_checksums(tmp_path / "saved").keys() >= {"tokenizer.json", "text.safetensors"}


def test_a_model_can_be_saved_over_the_directory_it_was_loaded_from(folder: Path) -> None:
    model = PrimaModel.from_pretrained(folder)
    with torch.no_grad():
        model.sequence.registers.add_(1)
    model.save_pretrained(folder)
    assert same(model, PrimaModel.from_pretrained(folder))
    assert (folder / "README.md").exists()


def test_a_new_model_is_saved_without_the_parts_it_does_not_have(golden_model: Path, tmp_path: Path) -> None:
    config = read_config(golden_model)
    assert config.heads is not None
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "heads.safetensors").write_bytes(b"of another model")
    PrimaModel(config).save_pretrained(tmp_path / "saved")
    saved = read_config(tmp_path / "saved")
    assert (saved.heads, saved.text) == (None, None)
    assert not (tmp_path / "saved" / "heads.safetensors").exists()
    assert "prima-features" in (tmp_path / "saved" / "README.md").read_text()
    PrimaModel.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("sequence.registers"), "missing: sequence.registers"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected: extra"),
        (
            lambda state: state.update({"study.norm.bias": torch.zeros(3)}),
            r"of another shape: study.norm.bias \(3,\) instead of \(64,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: object, reason: str, folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)  # type: ignore[operator]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(UsageError, match=reason):
        PrimaModel.from_pretrained(folder)


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    save_file({}, folder / "model.safetensors")
    with pytest.raises(UsageError, match=r"missing: \S+, \S+, \S+ and \d\d+ more\)"):
        PrimaModel.from_pretrained(folder)


BROKEN_CONFIGS = {
    "no JSON": ("{", "is not a model's configuration"),
    "a list": ("[]", "it has no model_type"),
    "another kind": ('{"model_type": "bert"}', "this is another kind of model"),
    "another version": ('{"model_type": "prima", "format_version": 99}', "format_version is 99"),
    "unknown key": ('{"model_type": "prima", "format_version": 1, "sise": 3}', "unknown key sise"),
}


@pytest.mark.parametrize("name", BROKEN_CONFIGS)
def test_a_configuration_of_another_kind_is_refused(name: str, folder: Path) -> None:
    text, reason = BROKEN_CONFIGS[name]
    (folder / "config.json").write_text(text)
    with pytest.raises(UsageError, match=reason):
        PrimaModel.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("value", [-1, 0, "two", 2**62, None])
def test_impossible_sizes_are_refused(value: object, folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["sequence"]["transformer"]["heads"] = value
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError):
        PrimaModel.from_pretrained(folder)


def test_damaged_and_missing_files_are_named(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-5])
    with pytest.raises(UsageError, match=r"model\.safetensors is damaged"):
        PrimaModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"contains no model\.safetensors"):
        PrimaModel.from_pretrained(folder)


def test_what_names_no_model_is_told_what_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"a bundled model \(.*prima-untrained.*\), or a Hub id OWNER/NAME"):
        PrimaModel.from_pretrained("prima-untraind")
    with pytest.raises(UsageError, match="give a directory"):
        PrimaModel.from_pretrained(folder / "nowhere")
    with pytest.raises(UsageError, match="is a file: give a model directory"):
        PrimaModel.from_pretrained(folder / "config.json")
    with pytest.raises(UsageError, match="is not a Hub id"):
        PrimaModel.from_pretrained("one/two/three")


def test_only_a_hub_id_has_a_revision(folder: Path) -> None:
    for name in (folder, UNTRAINED):
        with pytest.raises(UsageError, match="has no revision 'v1'"):
            PrimaModel.from_pretrained(name, revision="v1")
    with pytest.raises(UsageError, match="give only one"):
        PrimaModel.from_pretrained("lab/model@v1", revision="v2")
