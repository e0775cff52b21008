"""The numbers that turn a scan into tokens: one record, saved with every model and embeddings file."""

from dataclasses import dataclass

from prima_features.errors import SeriesError


@dataclass(frozen=True)
class Preprocessing:
    """How a volume is resampled, cut into subvolumes and filtered (defaults: Prima's, arXiv 2509.18638).

    A model's weights only fit the preprocessing they were trained with, so this record is stored in the model
    directory's config.json and in the attributes of each embeddings file.
    """

    matrix: int = 256
    """In-plane samples of the resampled volume, per axis."""
    short_side: int = 4
    """Voxels of a subvolume along the slice axis."""
    long_side: int = 32
    """Voxels of a subvolume along each in-plane axis."""
    foreground: float = 50.0
    """A voxel above this is foreground."""
    small_foreground: float = 0.5
    """A voxel above this is foreground where the volume's maximum is below `small_maximum`."""
    small_maximum: float = 5.0
    """Volumes whose maximum is below this are taken to be scaled to a small range."""
    start_percent: int = 5
    """First threshold tried: the percentage of foreground from which a subvolume is kept."""
    infill_percent: int = 20
    """Shells of subvolumes up to this percentage also keep what they enclose."""
    min_kept: int = 25
    """The threshold falls, down to 0, until more subvolumes than this are kept."""
    max_subvolumes: int = 5000
    """A series cut into more subvolumes than this, before filtering, is skipped."""

    def __post_init__(self) -> None:
        sizes = {"matrix": 4096, "short_side": 1024, "long_side": 1024, "max_subvolumes": 1_000_000}
        for name, most in sizes.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be between 1 and {most}, not {getattr(self, name)}")
        if self.matrix % self.long_side:
            raise ValueError(f"matrix {self.matrix} is not a multiple of long_side {self.long_side}")
        for name in ("start_percent", "infill_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be between 0 and 100, not {getattr(self, name)}")

    @property
    def most_slices(self) -> int:
        """Slices that give no more subvolumes than `max_subvolumes`."""
        across = (self.matrix // self.long_side) ** 2
        return self.max_subvolumes // across * self.short_side

    def check_slices(self, n_slices: int) -> None:
        """Raise `SeriesError` if a series of `n_slices` slices gives more subvolumes than `max_subvolumes`."""
        if (subvolumes := self.count_subvolumes(n_slices)) > self.max_subvolumes:
            raise SeriesError(
                f"its {n_slices} slices give {subvolumes} subvolumes, more than the maximum of {self.max_subvolumes}",
                hint=f"resample it to {self.most_slices} slices or fewer, or use --max-subvolumes-action resample",
            )

    def count_subvolumes(self, n_slices: int) -> int:
        """Subvolumes that a series of `n_slices` slices is cut into, before filtering."""
        return -(-n_slices // self.short_side) * (self.matrix // self.long_side) ** 2
