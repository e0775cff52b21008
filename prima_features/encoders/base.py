"""The encoder protocol: everything that reading, the batch loop, resume, Ray, the embeddings file and the pages know.

    Encoder.preparer() -> Preparer     in reading processes: one series to the arrays that the network reads
    Encoder.on(...)    -> Inference    on one device: prepared studies to vectors

Other packages can add encoders (see `registry`). This module imports no torch, so that processes that only read start
quickly and stay small.
"""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from prima_features.errors import UnknownOptionError

if TYPE_CHECKING:
    import torch

    from prima_features.studies.study import Series, Study
    from prima_features.volumes import ReadOptions


@dataclass(frozen=True)
class Widths:
    """Lengths of an encoder's vectors."""

    study: int | None
    """None from encoders that only know series: the study vector is then the mean of its series' vectors."""
    series: int
    clip: int | None = None
    """None if the encoder has no vector that is comparable with text."""
    token: int | None = None
    """None if the encoder has no tokens to store."""

    def mismatch(self, encoded: EncodedStudy, n_series: int) -> str:
        """Description of the first vector whose shape differs from these widths; empty if all agree."""
        wanted = {
            "series": (n_series, self.series),
            "study": None if self.study is None else (self.study,),
            "clip": None if self.clip is None else (self.clip,),
        }
        for name, shape in wanted.items():
            vectors = getattr(encoded, name)
            found = None if vectors is None else np.shape(vectors)
            if shape is None and found is not None:
                return f"{name} vectors, and its widths state none"
            if found != shape:
                return f"{name} vectors of shape {found}, not {shape}" if found else f"no {name} vectors"
        if encoded.tokens and len(encoded.tokens) != n_series:
            return f"tokens of {len(encoded.tokens)} series, not {n_series}"
        for one in encoded.tokens:
            if np.shape(one.embedding) != (len(one.coord), self.token) or np.shape(one.coord)[1:] != (3,):
                return f"tokens of shapes {np.shape(one.embedding)} and {np.shape(one.coord)}"
        return ""


@dataclass(frozen=True)
class EncoderInfo:
    """What is recorded of an encoder in each embeddings file."""

    encoder: str
    """The kind of encoder: `model_type` in config.json."""
    name: str
    """Bundled name, Hub id, or name of the directory."""
    revision: str
    sha256: str
    """Checksum of the weights. Embeddings of other weights are never mixed with these."""
    widths: Widths
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else changes the vectors, as JSON types: sizes, thresholds, options of the encoder."""
    caveat: str = ""
    """One sentence that must accompany all numbers of the model; empty if there is none."""
    licence: str = ""
    """Licence of the weights, in a few words; empty if none is stated."""
    citation: str = ""
    """The paper to cite, in one line; empty if there is none."""
    unit: str = "items"
    """What `Prepared.weight` counts, in the plural, such as `subvolumes` or `slices`."""
    uses_anatomy: bool = False
    """Whether brain masks and transforms to MNI152 are inputs, so that new ones make finished studies stale."""


@dataclass(frozen=True)
class Picture:
    """A small grey picture of a series for the HTML page, with an outline of what the encoder read."""

    jpeg: bytes
    """Grey."""
    width: int
    """Pixels."""
    height: int
    outline: str
    """SVG path, in pixels."""

    def __post_init__(self) -> None:
        """Raise ValueError for values that no encoder draws: parts and pages may come from strangers."""
        sizes = (self.width, self.height)
        if not all(isinstance(size, int) and 0 < size < 10_000 for size in sizes):
            raise ValueError(f"a picture of {sizes} pixels")
        if not isinstance(self.outline, str) or not _PATH.fullmatch(self.outline):
            raise ValueError("an outline that is no path")


_PATH = re.compile(r"[A-Za-z0-9 .,-]*")


@dataclass(frozen=True)
class BrainRecord:
    """Brain mask and transform to MNI152 that a series was prepared with, and how plausible they are."""

    mask_from: str = ""
    """Source of the mask, such as `fMRIPrep` or `mri_synthstrip`; empty if there was no mask."""
    litres: float = math.nan
    """Volume of the mask; NaN if unknown."""
    to_mni_from: str = ""
    """Source of the transform; empty if it is unknown."""
    to_mni: tuple[float, ...] = ()
    """The transform from the scan to MNI152, mm in RAS: 16 numbers row by row, or empty if it is unknown."""
    scale: float = math.nan
    """Mean linear scale of the transform, the cube root of its determinant; NaN if unknown."""
    dice: float = math.nan
    """Dice coefficient of the mask in MNI space with the template's brain mask; NaN if unknown."""


@dataclass(frozen=True)
class Prepared:
    """One series made ready for a network, and what the embeddings file records of it."""

    arrays: Any
    """What the network reads: numpy arrays, or a picklable object that contains them."""
    weight: int
    """Its share of a batch, in the encoder's own unit, such as subvolumes or slices."""
    n_tokens: int
    """Tokens that the encoder reads."""
    plane: str
    """`axial`, `coronal` or `sagittal`: the plane of the acquired slices."""
    shape: tuple[int, int, int]
    """(z, y, x) of the volume that the arrays were made of."""
    spacing: tuple[float, float, float]
    """Distance between its samples along (z, y, x), mm."""
    slice_axis_known_by: str = ""
    """How the slice axis was determined (`volumes.volume.KNOWN_BY`)."""
    flags: tuple[str, ...] = ()
    """Doubts about the series, one short word each."""
    picture: Picture | None = None
    brain: BrainRecord | None = None
    """None from encoders that use neither masks nor transforms."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one series."""

    embedding: np.ndarray
    """(n, k) float32; float16 as it is stored."""
    coord: np.ndarray
    """(n, 3) int16, (z, y, x) of the first voxel of each token."""


@dataclass(frozen=True)
class EncodedStudy:
    """The vectors of one study with S series."""

    series: np.ndarray
    """(S, d) float32."""
    study: np.ndarray | None = None
    """(D,) float32; None from encoders that only know series."""
    clip: np.ndarray | None = None
    """(C,) float32, L2-normalised."""
    tokens: Sequence[Tokens] = ()
    """Of each series, if they were asked for."""


class Preparer(Protocol):
    """Reads one series and prepares it. Pickled and sent to reading processes; imports no torch."""

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series, and draw it if `picture`.

        Raises:
            SeriesError: it cannot be read or cannot be used.
        """
        ...


def _never() -> None:
    """Never abort."""


class Progress:
    """Passed to `Inference.encode`: checks for cancellation, and measures time.

    Attributes:
        check: call it between batches; raises if the run was cancelled.
        seconds: time spent by stage.
        gflop: floating-point operations of the networks, in 10^9, as a direct computation needs; NaN if the encoder
            does not say.
    """

    def __init__(self, check: Callable[[], None] = _never) -> None:
        self.check = check
        self.seconds: dict[str, float] = {}
        self.gflop = math.nan

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


class Inference(Protocol):
    """An encoder on one device."""

    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """Encode studies together.

        Args:
            studies: each with one or more prepared series.
            progress: see `Progress`.
            tokens: also return the tokens of each series.

        Returns:
            One result per study, in order, equal up to rounding to that of the study alone.
        """
        ...


class Encoder(ABC):
    """An encoder with its weights, on the CPU until `on` is called. Picklable, for Ray."""

    @property
    @abstractmethod
    def info(self) -> EncoderInfo:
        """What is recorded of it."""

    @abstractmethod
    def preparer(self) -> Preparer:
        """What reads and prepares series for it."""

    @abstractmethod
    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> Inference:
        """Place the encoder on a device.

        Args:
            device: device to compute on.
            dtype: float32 or bfloat16, the number type to compute in.
            batch_size: the sum of `Prepared.weight` in one call of the network, at most. An encoder takes less if the
                memory of the device does not suffice.
        """

    @property
    def device(self) -> torch.device:
        """Device to compute on if none is named."""
        import torch

        return torch.device("cpu")

    def cpu(self) -> Encoder:
        """The encoder on the CPU, to be sent to other machines. An encoder that is elsewhere moves itself."""
        return self

    def with_options(self, options: Mapping[str, str]) -> Encoder:
        """The encoder with options that it alone knows (`--encoder-option NAME=VALUE`), which `info.settings` records.

        Args:
            options: values by name; none changes nothing.

        Raises:
            UnknownOptionError: the encoder has no such option. A run of several models leaves it to the others.
            UsageError: the option has no such value.
        """
        if options:
            names = ", ".join(sorted(options))
            raise UnknownOptionError(f"The encoder {self.info.encoder!r} has no option {names}: leave it out")
        return self

    @property
    def answer_options(self) -> Mapping[str, str]:
        """Options under which the encoder accepts the synthetic scan of `prima doctor`."""
        return {}

    def check_parts(self) -> list[str]:
        """Load the parts that embedding does not need; returns the names of all parts.

        Raises:
            UsageError: a part is damaged or does not fit config.json.
        """
        return ["encoder"]
