import json
import subprocess
import sys
from dataclasses import replace
from functools import reduce

import pytest

import prima_features.encoders.prima.networks
from prima_features.encoders.prima.networks.config import (
    HeadConfig,
    HeadsConfig,
    PrimaConfig,
    TextConfig,
    ViTConfig,
)


@pytest.fixture
def configs(tiny_config: PrimaConfig) -> list[PrimaConfig]:
    heads = HeadsConfig(
        (HeadConfig("glioma", 0.25),), (HeadConfig("neurology", -0.5),), ("none", "low", "high")
    )
    return [PrimaConfig(), tiny_config, PrimaConfig(text=TextConfig(dim=48), heads=heads)]


def test_a_config_comes_back_from_json_as_it_was(configs: list[PrimaConfig]) -> None:
    for config in configs:
        assert PrimaConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_key_that_is_not_known_is_named_with_its_place(tiny_config: PrimaConfig) -> None:
    values = json.loads(json.dumps(tiny_config.to_json()))
    values["sequence"]["transformer"]["width"] = 5
    with pytest.raises(ValueError, match=r"unknown key sequence\.transformer\.width"):
        PrimaConfig.from_json(values)


def test_widths_that_do_not_fit_are_refused(tiny_config: PrimaConfig) -> None:
    transformer = tiny_config.sequence.transformer
    with pytest.raises(ValueError, match=r"sequence\.out_dim is 99 and must be 32"):
        PrimaConfig(
            tokenizer=tiny_config.tokenizer,
            names=tiny_config.names,
            sequence=ViTConfig(transformer, registers=3, out_dim=99),
            study=tiny_config.study,
        )


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("sequence.transformer", "depth"),
        ("sequence", "registers"),
        ("tokenizer", "codes"),
        ("names.study", "out_dim"),
    ],
)
def test_sizes_below_one_are_refused(part: str, key: str, tiny_config: PrimaConfig) -> None:
    found = reduce(getattr, part.split("."), tiny_config)
    with pytest.raises(ValueError, match=f"{key} must be 1 or more, not 0"):
        replace(found, **{key: 0})


@pytest.mark.parametrize("caveat", ["x" * 1001, "one line\nanother", "\x1b[2J", "\ud800"])
def test_a_caveat_is_one_line(caveat: str, tiny_config: PrimaConfig) -> None:
    with pytest.raises(ValueError, match="one line of at most 1000 characters"):
        replace(tiny_config, caveat=caveat)


@pytest.mark.parametrize("percent", [-1, 101, 10**9])
def test_percentages_are_0_to_100(percent: int, tiny_config: PrimaConfig) -> None:
    for name in ("start_percent", "infill_percent"):
        with pytest.raises(ValueError, match=f"{name} must be between 0 and 100"):
            replace(tiny_config.preprocessing, **{name: percent})


def test_everything_in_the_table_of_contents_is_there() -> None:
    for name in prima_features.encoders.prima.networks.__all__:
        assert getattr(prima_features.encoders.prima.networks, name).__name__ == name
    with pytest.raises(AttributeError, match="attribute Nothing"):
        _ = prima_features.encoders.prima.networks.Nothing


def imported_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after the statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_sizes_come_without_torch() -> None:
    assert "torch" not in imported_by("from prima_features.encoders.prima.networks import PrimaConfig")


def test_the_networks_come_without_input_output_or_transformers() -> None:
    loaded = imported_by("from prima_features.encoders.prima.networks import Prima, TextTower, Head")
    assert "torch" in loaded
    assert not loaded & {
        "transformers",
        "h5py",
        "SimpleITK",
        "pydicom",
        "nibabel",
        "pandas",
        "huggingface_hub",
    }
