"""Records between a source of studies and the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from torch import Tensor

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.volumes import Volume

SUBVOLUMES = "values"
"""Key of what the cache holds of a series for the tokenizer stage: (U, z, y, x), 4 long on the slice axis and 32 on
the others."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """What a source knows of a series beyond its voxels. Cached with the series' latents; Prima itself uses none."""

    tokens: Mapping[str, Tensor] = field(default_factory=dict)
    """(N, ...) each, for the N tokens of the series."""
    series: Mapping[str, Tensor] = field(default_factory=dict)
    """Any shape, for the series as a whole."""
    keep: Tensor | None = None
    """(N,) bool, tokens that are always cached, even if only a share of all tokens is."""


class RawSeries(Protocol):
    """One series that can be read, or made."""

    @property
    def name(self) -> str:
        """What the sequence encoder reads."""

    @property
    def stored_name(self) -> str:
        """The name as it may be written to a log."""

    @property
    def fingerprint(self) -> str:
        """Text that changes when the voxels may have changed."""

    def volume(self, preprocessing: Preprocessing) -> Volume:
        """The volume, in LPS.

        Raises:
            SeriesError: it cannot be used.
        """

    def annotations(self, tokens: Subvolumes, preprocessing: Preprocessing) -> Annotations:
        """What is known of the series and its tokens; empty for scans."""


Wordings: TypeAlias = tuple[tuple[str, ...], ...]
"""The items of a report, said in different words; at least once."""


@dataclass(frozen=True)
class RawStudy:
    """One study of a source."""

    id: str
    subject: str
    description: str
    series: tuple[RawSeries, ...]
    findings: tuple[str, ...] = ()
    """Items of the summarised report; empty without a report."""
    find: Callable[[], Wordings] | None = field(default=None, repr=False)
    """Computes the findings, in one or several wordings, if they depend on the images; used instead of `findings`."""
    abnormal: bool = False
    split: str = ""
    """`train` or `validation` where the source says it."""


class Source(Protocol):
    """Studies by number: a tuple of them, or something that makes each when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> RawStudy: ...

    def __iter__(self) -> Iterator[RawStudy]: ...


@dataclass(frozen=True, eq=False)
class SeriesTokens:
    """The tokens of one series, wide enough for every threshold that augmentation can ask for."""

    name: str
    slice_axis: int
    latent: Tensor
    """(U, C, d, h, w), one a different subvolume."""
    row: Tensor
    """(N,) int64, the row of `latent` that each token is made of, for the lowest threshold."""
    coord: Tensor
    """(N, 3) int16, (z, y, x) of each token's first voxel."""
    counts: tuple[int, ...]
    """Tokens that are kept for each threshold, from the lowest to the highest: always the last so many. The one
    in the middle is the threshold that embedding uses."""
    number: Tensor
    """(N,) int64, the place of each token among all cached tokens of the series."""
    annotations: Mapping[str, Tensor] = field(default_factory=dict)
    """The cached `Annotations` by name; those of tokens have a row for each cached token (see `number`)."""

    @property
    def reach(self) -> int:
        """How far the threshold can move, in percent."""
        return len(self.counts) // 2


@dataclass(frozen=True, eq=False)
class TrainingStudy:
    """A study as the networks see it."""

    description: str
    series: tuple[SeriesTokens, ...]
    findings: tuple[str, ...]
