"""config.json of a Prima model, and the tensors that it asks for."""

from __future__ import annotations

from pathlib import Path

from prima_features.encoders.prima.networks.config import PrimaConfig
from prima_features.errors import UsageError
from prima_features.models import directory as files
from prima_features.models.loading import Shapes, hollow


def write_config(directory: Path, config: PrimaConfig) -> None:
    """Write config.json."""
    files.write_config(directory, config.to_json())


def read_config(directory: Path) -> PrimaConfig:
    """Read config.json.

    Raises:
        UsageError: there is none, or it is of another kind of model or format version.
    """
    values = files.read_config(directory)
    try:
        return PrimaConfig.from_json(values)
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        path = directory / files.CONFIG
        raise UsageError(f"{path} is not a Prima model's configuration: {error}") from error


def network_shapes(config: PrimaConfig) -> Shapes:
    """Names and shapes of all tensors of the network of a configuration.

    Raises:
        ValueError: its sizes are impossible.
    """
    from prima_features.encoders.prima.networks.prima import Prima

    return {name: tuple(tensor.shape) for name, tensor in hollow(lambda: Prima(config)).state_dict().items()}
