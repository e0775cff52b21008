"""Encoders that only know series: what their inference, their loading and their configuration have in common.

Such an encoder is a folder of three modules:

    prepare.py   a picklable `Preparer`; imports no torch
    network.py   the frozen dataclass of its sizes, and the network
    weights.py   one `SeriesArchitecture`, which names the two and tells how the published file is converted

`Prepared.arrays` is either a float32 array (P, ...) of P pieces of equal shape, such as slices or a single volume, or
`Patches`, of which each series has its own number. A network of pieces maps (P, ...) to (P, d), one of patches maps
(T, ...) to (T, d) within each series; the series vector is the mean of its rows. `Prepared.weight` is the share of a
batch of the whole series: choose its unit so that 32 on a CPU and 256 on a GPU are sensible.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from prima_features.encoders import operations
from prima_features.encoders.base import (
    EncodedStudy,
    Encoder,
    EncoderInfo,
    Prepared,
    Preparer,
    Progress,
    Tokens,
    Widths,
)
from prima_features.encoders.patches import Patches
from prima_features.errors import UnknownOptionError, UsageError
from prima_features.files.disk import sha256
from prima_features.files.plain import from_plain
from prima_features.models.directory import CONFIG, MODEL, read_config
from prima_features.models.loading import Shapes, check_tensors, fill, hollow
from prima_features.models.published import published_model
from prima_features.models.resolve import ModelSource
from prima_features.studies.study import Series, Study

logger = logging.getLogger(__name__)

C = TypeVar("C")


def _drop(name: str) -> None:
    """Of a bundled model, which has no published file."""


@dataclass(frozen=True)
class SeriesArchitecture(Generic[C]):
    """How one kind of encoder is built, fed and converted.

    It is pickled with the encoder: its functions must be those of a module, not lambdas.
    """

    model_type: str
    config: type[C]
    """Frozen dataclass of the network's sizes, and of the feature if there are several."""
    network: Callable[[C], nn.Module]
    preparer: Callable[[C, Mapping[str, str]], Preparer]
    """Makes the preparer from sizes and options."""
    widths: Callable[[C], Widths]
    preprocessing: int
    """Version of preparation and network. Raise it if a change gives other vectors."""
    rename: Callable[[str], str | None] = _drop
    """The network's name of a tensor of the published file; None for one that is not needed."""
    sizes: Callable[[Shapes, Mapping[str, Any], Mapping[str, Any]], C] | None = None
    """The configuration, from the shapes of the renamed tensors, the published configuration (empty if there is none)
    and the settings that the catalogue states for this variant. Raises ValueError or KeyError if they do not fit. None
    for a bundled model, which has no published file."""
    published_configs: tuple[str, ...] = (CONFIG,)
    """Where the published configuration is, seen from the folder of the published file; the first that is there."""
    containers: tuple[str, ...] = ()
    """Keys of the published file under which the tensors are; the first that it has. Without any: the file itself."""
    unit: str = "volumes"
    """What `Prepared.weight` counts."""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values of each `--encoder-option`, the default first."""
    answer_options: Mapping[str, str] = field(default_factory=dict)
    """See `Encoder.answer_options`."""
    uses_anatomy: bool = False
    """See `EncoderInfo.uses_anatomy`."""
    gflop: Callable[[C, Prepared], float] | None = None
    """Operations of one series, in 10^9. None: they are counted on the network, which reads pieces of one tensor."""

    def load(self, source: ModelSource) -> SeriesEncoder[C]:
        """Load the model of a directory.

        Raises:
            UsageError: it is damaged, or was converted for another version of the preprocessing.
        """
        path = source.directory / CONFIG
        values = read_config(source.directory)
        if values.get("preprocessing") != self.preprocessing:
            raise UsageError(
                f"{path} is for version {values.get('preprocessing')} of the preprocessing of {self.model_type}, and "
                f"this release has version {self.preprocessing}: convert the published file again"
            )
        check_tensors(source.directory / MODEL)
        try:
            config = from_plain(self.config, values.get("network"), "network.")
            network = hollow(lambda: self.network(config))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UsageError(
                f"{path} is not the configuration of a model of the type {self.model_type}: {error}"
            ) from error
        fill(network, source.directory / MODEL, dtype=torch.float32)
        return SeriesEncoder(self, config, network, source, sha256(source.directory / MODEL))


class SeriesEncoder(Encoder, Generic[C]):
    """An encoder without study vectors; the file takes the mean of the series vectors."""

    def __init__(
        self,
        architecture: SeriesArchitecture[C],
        config: C,
        network: nn.Module,
        source: ModelSource,
        checksum: str,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.architecture, self.config, self.network = architecture, config, network
        self.source, self.checksum = source, checksum
        self.options = {name: values[0] for name, values in architecture.options.items()} | dict(
            options or {}
        )

    @property
    def info(self) -> EncoderInfo:
        """What embeddings files record."""
        known = published_model(self.architecture.model_type)
        return EncoderInfo(
            encoder=self.architecture.model_type,
            name=self.source.name,
            revision=self.source.revision,
            sha256=self.checksum,
            widths=self.architecture.widths(self.config),
            # Options in a table of their own: the embeddings file adds the options of reading, such as slice_axis.
            settings={
                "preprocessing": self.architecture.preprocessing,
                "network": asdict(self.config),  # type: ignore[call-overload]
                "options": dict(self.options),
            },
            caveat=known.caveat,
            licence=known.weights_licence,
            citation=known.citation,
            unit=self.architecture.unit,
            uses_anatomy=self.architecture.uses_anatomy,
        )

    def preparer(self) -> Preparer:
        """What reads and prepares series."""
        return self.architecture.preparer(self.config, self.options)

    @property
    def answer_options(self) -> Mapping[str, str]:
        """See `Encoder.answer_options`."""
        return self.architecture.answer_options

    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> SeriesInference:
        """The network on a device."""
        network = self.network if device.type == "cpu" else copy.deepcopy(self.network).to(device)
        return SeriesInference(network, device, dtype, batch_size, self._gflop)

    def _gflop(self, prepared: Prepared) -> float:
        """Operations of one series, in 10^9."""
        if self.architecture.gflop is not None:
            return self.architecture.gflop(self.config, prepared)
        build = partial(self.architecture.network, self.config)
        n, *shape = prepared.arrays.shape
        return n * operations.counted(build, (1, *shape))

    def with_options(self, options: Mapping[str, str]) -> SeriesEncoder[C]:
        """See `Encoder.with_options`."""
        known = self.architecture.options
        for name, value in options.items():
            if name not in known:
                there = f"its options are {', '.join(sorted(known))}" if known else "leave it out"
                raise UnknownOptionError(
                    f"The encoder {self.architecture.model_type!r} has no option {name}: {there}"
                )
            if value not in known[name]:
                raise UsageError(f"{name} must be {' or '.join(known[name])}, not {value}")
        merged = {**self.options, **options}
        return SeriesEncoder(self.architecture, self.config, self.network, self.source, self.checksum, merged)


class SeriesInference:
    """A network of series on one device; an `encoders.base.Inference`.

    Weights stay in float32; with bfloat16 matrix products are in it.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        batch_size: int,
        gflop: Callable[[Prepared], float],
    ) -> None:
        self.network, self.device, self.dtype, self.batch_size = network, device, dtype, batch_size
        self._gflop, self._counted = gflop, dict[tuple[int, ...], float]()

    @torch.inference_mode()
    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """Encode the series of several studies in common batches. The stage is `network`."""
        prepared = [one for _, members in studies for _, one in members]
        with (
            progress.stage("network"),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16),
        ):
            rows = self._rows(prepared, progress.check)
        progress.gflop = sum(map(self._operations, prepared))
        vectors = np.stack([one.mean(0, dtype=np.float64) for one in rows]).astype(np.float32)
        kept = [
            Tokens(one, item.arrays.coord)
            for one, item in zip(rows, prepared, strict=True)
            if tokens and isinstance(item.arrays, Patches)
        ]
        starts = [0, *accumulate(len(members) for _, members in studies)]
        return [
            EncodedStudy(series=vectors[start:end], tokens=kept[start:end]) for start, end in pairwise(starts)
        ]

    def _operations(self, prepared: Prepared) -> float:
        arrays = prepared.arrays
        shape = arrays.values.shape if isinstance(arrays, Patches) else arrays.shape
        if shape not in self._counted:
            self._counted[shape] = self._gflop(prepared)
        return self._counted[shape]

    def _rows(self, prepared: Sequence[Prepared], check: Callable[[], None]) -> list[np.ndarray]:
        """The network's rows (n, d) of each series."""
        if prepared and isinstance(prepared[0].arrays, Patches):
            groups = _grouped(prepared, self.batch_size)
            return [row for group in groups for row in self._patches(group, check)]
        lengths = [len(one.arrays) for one in prepared]
        weight = max(one.weight // len(one.arrays) for one in prepared)
        done = [self._pieces(batch, check) for batch in _batches(prepared, max(1, self.batch_size // weight))]
        return np.split(np.concatenate(done), np.cumsum(lengths)[:-1])

    def _pieces(self, batch: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        """(P, ...) to (P, d), in halves if the device's memory does not suffice for the whole."""
        check()
        try:
            return _to_numpy(self.network(self._placed(batch)))
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # After the handler, where the error no longer refers to the tensors of the failed call.
        self._halve()
        half = len(batch) // 2
        return np.concatenate([self._pieces(batch[:half], check), self._pieces(batch[half:], check)])

    def _patches(self, group: Sequence[Prepared], check: Callable[[], None]) -> list[np.ndarray]:
        """Rows (n, d) of each series of a group, like `_pieces`."""
        check()
        patches: list[Patches] = [one.arrays for one in group]
        values = np.concatenate([one.values for one in patches])
        place = np.concatenate([one.place for one in patches])
        lengths = [len(one.values) for one in patches]
        cu_seqlens = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        try:
            rows = self.network(
                self._placed(values), self._placed(place), cu_seqlens.to(self.device), max(lengths)
            )
            return np.split(_to_numpy(rows), np.cumsum(lengths)[:-1])
        except torch.OutOfMemoryError:
            if len(group) == 1:
                raise
        self._halve()
        half = len(group) // 2
        return self._patches(group[:half], check) + self._patches(group[half:], check)

    def _placed(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _halve(self) -> None:
        tried, self.batch_size = self.batch_size, max(1, self.batch_size // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning(
            "Out of memory on %s at batch size %d; continuing with %d", self.device, tried, self.batch_size
        )


def _grouped(prepared: Sequence[Prepared], most: int) -> Iterator[list[Prepared]]:
    """Series in order, with a sum of weights up to `most`, or one by itself."""
    group: list[Prepared] = []
    for one in prepared:
        if group and sum(other.weight for other in group) + one.weight > most:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _batches(prepared: Sequence[Prepared], most: int) -> Iterator[np.ndarray]:
    """The pieces of all series in order, up to `most` of equal shape at a time."""
    parts: list[np.ndarray] = []
    room = most
    for one in prepared:
        rest = one.arrays
        if parts and rest.shape[1:] != parts[0].shape[1:]:
            yield np.concatenate(parts)
            parts, room = [], most
        while len(rest):
            parts.append(rest[:room])
            rest, room = rest[room:], room - len(parts[-1])
            if not room:
                yield np.concatenate(parts)
                parts, room = [], most
    if parts:
        yield np.concatenate(parts)


def _to_numpy(rows: Tensor) -> np.ndarray:
    return rows.float().cpu().numpy()
