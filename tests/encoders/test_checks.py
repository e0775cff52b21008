"""What encoders of other packages return is checked: each fault is a failure or one sentence, and nothing is lost."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from prima_features import embed, read_embeddings
from prima_features.embedding.engine.options import EngineOptions
from prima_features.encoders.base import (
    BrainRecord,
    EncodedStudy,
    Encoder,
    EncoderInfo,
    Picture,
    Prepared,
    Progress,
    Tokens,
    Widths,
)
from prima_features.encoders.checks import (
    EncoderError,
    checked_info,
    checked_prepared,
    checked_vectors,
    make_read_only,
)
from prima_features.encoders.registry import with_options
from prima_features.errors import SeriesError, UsageError
from prima_features.studies.study import Series, Study
from prima_features.volumes import ReadOptions

SOUND = Prepared(np.zeros(3, np.float32), 1, 2, "axial", (3, 4, 5), (1.0, 1.0, 2.0))
WIDTHS = Widths(study=None, series=3, clip=2, token=4)
CLIP = np.array([0.6, 0.8], np.float32)


class BareError(SeriesError):
    """Does not call the constructor of SeriesError."""

    def __init__(self, number: int) -> None:
        self.number = number


def interrupt() -> None:
    sys.exit(0)


def bare() -> None:
    raise BareError(3)


FAULTS: dict[str, Any] = {
    "no hint": bare,
    "exit": interrupt,
    "nothing": lambda: None,
    "n_tokens": lambda: replace(SOUND, n_tokens=1 << 40),
    "n_tokens below 0": lambda: replace(SOUND, n_tokens=-1),
    "weight 0": lambda: replace(SOUND, weight=0),
    "weight below 0": lambda: replace(SOUND, weight=-1_000_000),
    "weight of a float": lambda: replace(SOUND, weight=1.5),  # type: ignore[arg-type]
    "no weight": lambda: replace(SOUND, weight=None),  # type: ignore[arg-type]
    "weight of a bool": lambda: replace(SOUND, weight=True),
    "plane": lambda: replace(SOUND, plane="oblique"),
    "two sizes": lambda: replace(SOUND, shape=(3, 4)),  # type: ignore[arg-type]
    "size 0": lambda: replace(SOUND, shape=(0, 4, 5)),
    "spacing NaN": lambda: replace(SOUND, spacing=(1.0, float("nan"), 1.0)),
    "spacing 0 in float32": lambda: replace(SOUND, spacing=(1.0, 1e-60, 1.0)),
    "spacing infinite in float32": lambda: replace(SOUND, spacing=(1.0, 1e60, 1.0)),
    "flag with NUL": lambda: replace(SOUND, flags=("a\x00b",)),
    "flag that is no text in UTF-8": lambda: replace(SOUND, flags=("a\udc80b",)),
    "flag with a comma": lambda: replace(SOUND, flags=("a,b",)),
    "flags of one text": lambda: replace(SOUND, flags="doubtful"),  # type: ignore[arg-type]
    "slice axis": lambda: replace(SOUND, slice_axis_known_by=None),  # type: ignore[arg-type]
    "picture": lambda: replace(SOUND, picture=b"\xff\xd8"),  # type: ignore[arg-type]
    "picture that is no JPEG": lambda: replace(SOUND, picture=Picture(b"<svg>", 3, 3, "")),
    "brain of another type": lambda: replace(SOUND, brain={"litres": 1.5}),  # type: ignore[arg-type]
    "mask_from of two lines": lambda: replace(SOUND, brain=BrainRecord(mask_from="a\nb")),
    "infinite litres": lambda: replace(SOUND, brain=BrainRecord(litres=float("inf"))),
    "dice above 1": lambda: replace(SOUND, brain=BrainRecord(dice=1.1)),
    "transform of 12 numbers": lambda: replace(SOUND, brain=BrainRecord(to_mni=(1.0,) * 12)),
    "transform of NaN": lambda: replace(SOUND, brain=BrainRecord(to_mni=(float("nan"),) * 12 + (0, 0, 0, 1))),
}


@dataclass
class Preparer:
    make: Callable[[], Any]

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        return self.make() if series.name == "T1w" else SOUND


class Inference:
    def __init__(self, act: Callable[[Any], Any]) -> None:
        self.act = act

    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        return [
            self.act(series) if study.id == "sub-02" else EncodedStudy(np.ones((len(series), 3)))
            for study, series in studies
        ]


class Strange(Encoder):
    def __init__(
        self, make: Callable[[], Any] = lambda: SOUND, act: Callable[[Any], Any] | None = None, **info: Any
    ) -> None:
        self.make, self.act = make, act or (lambda series: EncodedStudy(np.ones((len(series), 3))))
        self._info = EncoderInfo("strange", "x", "local", "0" * 64, Widths(None, 3))
        self._info = replace(self._info, **info)

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def preparer(self) -> Preparer:
        return Preparer(self.make)

    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> Inference:
        return Inference(self.act)


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        anat = tmp_path / "bids" / f"sub-{number:02}" / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "T2w"):
            values = np.random.default_rng(number).integers(0, 500, (8, 8, 8)).astype(np.int16)
            nib.save(nib.Nifti1Image(values, np.eye(4)), anat / f"sub-{number:02}_{suffix}.nii")
    return tmp_path / "bids"


OPTIONS = EngineOptions(workers=0, pictures=False)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_preparer_that_returns_nonsense_costs_its_series(fault: str, bids: Path, tmp_path: Path) -> None:
    summary = embed(bids, tmp_path / "x.h5", Strange(FAULTS[fault]), engine_options=OPTIONS)
    assert not summary.complete
    file = read_embeddings(tmp_path / "x.h5")
    assert list(file.series["name"]) == ["T2w"] * 3
    assert list(file.failures["series"]) == ["T1w"] * 3


def test_numbers_of_numpy_are_stored_as_plain_ones() -> None:
    given = replace(
        SOUND,
        weight=np.int64(3),  # type: ignore[arg-type]
        n_tokens=np.uint8(4),  # type: ignore[arg-type]
        shape=tuple(np.array([3, 4, 5])),
        spacing=np.array([1, 1, 2], np.float32),  # type: ignore[arg-type]
        flags=["a"],  # type: ignore[arg-type]
        brain=BrainRecord("a", np.float32(1.5), to_mni=np.eye(4).ravel()),  # type: ignore[arg-type]
    )
    found = checked_prepared(given)
    assert found == replace(SOUND, arrays=given.arrays, weight=3, n_tokens=4, flags=("a",), brain=found.brain)
    assert found.brain is not None and found.brain.to_mni == tuple(np.eye(4).ravel())
    assert {type(one) for one in (found.brain.litres, *found.brain.to_mni)} == {float}
    numbers = (found.weight, found.n_tokens, *found.shape, *found.spacing)
    assert [type(one) for one in numbers] == [int] * 5 + [float] * 3


VECTORS: dict[str, Callable[[Any], Any]] = {
    "exit": lambda series: sys.exit(0),
    "nothing": lambda series: None,
    "shape": lambda series: EncodedStudy(np.ones((len(series), 2))),
    "texts": lambda series: EncodedStudy(np.full((len(series), 3), "1.0")),
    "complex numbers": lambda series: EncodedStudy(np.ones((len(series), 3)) + 1j),
    "too large for float32": lambda series: EncodedStudy(np.full((len(series), 3), 1e300)),
    "writing to its input": lambda series: series[0][1].arrays.fill(7),
}


@pytest.mark.parametrize("fault", VECTORS)
def test_an_encoder_that_returns_nonsense_costs_its_study(fault: str, bids: Path, tmp_path: Path) -> None:
    summary = embed(bids, tmp_path / "x.h5", Strange(act=VECTORS[fault]), engine_options=OPTIONS)
    assert not summary.complete
    file = read_embeddings(tmp_path / "x.h5")
    assert list(file.studies["id"]) == ["sub-01", "sub-03"]
    assert set(file.failures["study"]) == {"sub-02"}


def test_vectors_are_copied_since_an_encoder_may_use_its_array_again() -> None:
    buffer = np.ones((1, 3), np.float32)
    token = np.ones((1, 4), np.float32)
    given = EncodedStudy(buffer, clip=CLIP, tokens=[Tokens(token, np.zeros((1, 3), np.int64))])
    found = checked_vectors(given, WIDTHS, 1, tokens=True)
    buffer[:], token[:] = 2, 2
    assert (found.series == 1).all() and (found.tokens[0].embedding == 1).all()
    assert found.tokens[0].coord.dtype == np.int16


def test_tokens_that_nobody_asked_for_are_dropped() -> None:
    given = EncodedStudy(np.ones((1, 3)), clip=CLIP, tokens=[Tokens(np.ones((1, 9)), np.zeros((1, 3)))])
    assert not checked_vectors(given, WIDTHS, 1, tokens=False).tokens


@pytest.mark.parametrize(
    "change",
    [
        {"clip": 5 * CLIP},
        {"clip": 0 * CLIP},
        {"tokens": ()},
        {"tokens": [Tokens(np.ones((1, 4)), np.full((1, 3), 40_000))]},
        {"tokens": [Tokens(np.ones((1, 4)), np.full((1, 3), 0.5))]},
    ],
)
def test_clip_vectors_and_tokens_are_checked(change: dict[str, Any]) -> None:
    sound = EncodedStudy(
        np.ones((1, 3)), clip=CLIP, tokens=[Tokens(np.ones((1, 4)), np.zeros((1, 3), np.int16))]
    )
    checked_vectors(sound, WIDTHS, 1, tokens=True)
    with pytest.raises(EncoderError):
        checked_vectors(replace(sound, **change), WIDTHS, 1, tokens=True)


def test_arrays_become_read_only_in_containers_too() -> None:
    a, b, c = np.zeros(2), np.zeros(2), np.zeros(2)
    make_read_only({"a": [a, (b,)], "c": Tokens(c, c), "text": "x"})
    assert not any(one.flags.writeable for one in (a, b, c))


@pytest.mark.parametrize(
    "info",
    [
        {"settings": {"x": np.int64(3)}},
        {"settings": {"x": float("nan")}},
        {"settings": {"x": "y" * 100_000}},
        {"settings": {1: 2, "1": 3}},
        {"settings": None},
        {"caveat": "x" * 100_000},
        {"sha256": None},
        {"uses_anatomy": 1},
        {"widths": Widths(None, 0)},
        {"widths": Widths(None, 1.5)},  # type: ignore[arg-type]
        {"widths": {"series": 3}},
    ],
)
def test_an_info_that_no_file_can_record_is_refused_before_anything_is_read(
    info: dict[str, Any], bids: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="update the package"):
        embed(bids, tmp_path / "x.h5", Strange(**info), engine_options=OPTIONS)
    assert not (tmp_path / "x.h5").exists() and not (tmp_path / "x.h5.parts").exists()


def test_widths_of_numpy_are_stored_as_plain_ones() -> None:
    widths = checked_info(Strange(widths=Widths(np.int64(3), np.int32(3)))).widths  # type: ignore[arg-type]
    assert type(widths.study) is int and type(widths.series) is int


@pytest.mark.parametrize("method", ["preparer", "on", "with_options"])
@pytest.mark.parametrize("error", [RuntimeError("why"), SystemExit(0)])
def test_an_encoder_that_cannot_start_is_one_sentence(
    method: str, error: BaseException, bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Strange, method, fail)
    with pytest.raises(UsageError, match=r"The encoder 'strange' cannot .*: check the model"):
        embed(bids, tmp_path / "x.h5", with_options(Strange(), {}), engine_options=OPTIONS)


def test_options_must_give_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strange, "with_options", lambda self, options: None)
    with pytest.raises(UsageError, match="NoneType"):
        with_options(Strange(), {})
