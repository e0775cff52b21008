"""Which engine `prima embed` uses: this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from prima_features.embedding.engine.local import Engine
    from prima_features.embedding.engine.options import EngineOptions

Name = Literal["local", "ray"]


@dataclass(frozen=True)
class Chosen:
    """An engine that is ready."""

    engine: Engine
    options: EngineOptions


def check(engine: Name, ray_address: str | None, workers: int | None) -> None:
    """Refuse what does not fit together.

    Raises:
        BadParameter: with the reason.
    """
    if ray_address is not None and engine != "ray":
        raise typer.BadParameter("it requires --engine ray", param_hint="--ray-address")
    if workers == 0 and engine == "ray":
        raise typer.BadParameter("--engine ray needs at least one reader", param_hint="--workers")


@contextmanager
def opened(engine: Name, ray_address: str | None, device: str, options: EngineOptions) -> Iterator[Chosen]:
    """The engine for as long as the block lasts, and the options with what depends on its devices.

    Raises:
        UsageError: a device that is not there, Ray is not installed, or no cluster answers.
    """
    from prima_features.embedding.engine.device import pick_devices

    if engine == "local":
        from prima_features.embedding.engine.local import embed_studies

        yield Chosen(embed_studies, replace(options, devices=tuple(map(str, pick_devices(device)))))
        return

    from prima_features.embedding.engine.ray.engine import RayEngine

    with RayEngine(ray_address, device) as cluster:
        yield Chosen(cluster, cluster.options(options))
