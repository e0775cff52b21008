"""What encoders hand over, checked before it is used: an encoder may be of another package.

Numbers of numpy types become plain ones, since they are stored as JSON. Everything else that no embeddings file could
store is refused with a message for the encoder's authors. Imports no torch.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, NoReturn

import numpy as np

from prima_features.encoders.base import (
    BrainRecord,
    EncodedStudy,
    Encoder,
    EncoderInfo,
    Picture,
    Prepared,
    Preparer,
    Tokens,
    Widths,
)
from prima_features.errors import PrimaError, SeriesError, UsageError
from prima_features.files.text import printable
from prima_features.volumes.volume import PLANES

_INT32 = 1 << 31
_MOST_WIDTH = 1 << 20
_MOST_FLAGS = 32
_LONGEST_FLAG = 64
_LONGEST_TEXT = 4000
"""Characters of a text of `EncoderInfo`, and of `Prepared.slice_axis_known_by`."""
_MOST_SETTINGS = 40_000
"""Bytes of the settings as JSON: an attribute of an HDF5 file has at most 64 KiB."""
_MOST_PICTURE = 1 << 20
_SHORTEST, _LONGEST = 1e-9, 1e9
"""Spacings, mm."""
_LONGEST_SOURCE = 200
"""Characters of `BrainRecord.mask_from` and `to_mni_from`."""
_MOST_LITRES, _MOST_SCALE = 1e3, 1e3
_UNIT_TOLERANCE = 0.02
"""How far the length of a CLIP vector may be from 1, with room for bfloat16."""


class EncoderError(SeriesError):
    """An encoder returned something that cannot be stored."""

    def __init__(self, problem: str):
        super().__init__(problem, hint="report it to the authors of the encoder's package")


def checked_prepared(prepared: Any) -> Prepared:
    """What a preparer returned, in plain types.

    Raises:
        EncoderError: it is no `Prepared`, or a field of it cannot be stored.
    """
    if not isinstance(prepared, Prepared):
        _refuse(f"an object of type {type(prepared).__name__}, not Prepared")
    shape, spacing, flags = prepared.shape, prepared.spacing, prepared.flags
    if not (_is_triple(shape) and _is_triple(spacing)):
        _refuse("shape and spacing that are not 3 numbers each")
    if prepared.plane not in PLANES:
        _refuse(f"a plane that is not one of {', '.join(PLANES)}")
    if not isinstance(prepared.slice_axis_known_by, str) or len(prepared.slice_axis_known_by) > _LONGEST_TEXT:
        _refuse("slice_axis_known_by that is not a short text")
    if (
        not isinstance(flags, tuple | list)
        or len(flags) > _MOST_FLAGS
        or not all(_is_word(flag) for flag in flags)
    ):
        _refuse("flags that are not short words")
    picture = prepared.picture
    if picture is not None and not (
        isinstance(picture, Picture)
        and isinstance(picture.jpeg, bytes)
        and picture.jpeg.startswith(b"\xff\xd8")
        and len(picture.jpeg) <= _MOST_PICTURE
    ):
        _refuse("a picture that is not a small JPEG")
    z, y, x = (_whole(size, "shape", 1) for size in shape)
    dz, dy, dx = (_length(one) for one in spacing)
    return replace(
        prepared,
        weight=_whole(prepared.weight, "weight", 1),
        n_tokens=_whole(prepared.n_tokens, "n_tokens", 0),
        shape=(z, y, x),
        spacing=(dz, dy, dx),
        flags=tuple(map(str, flags)),
        brain=None if prepared.brain is None else checked_brain(prepared.brain),
    )


def _refuse(problem: str) -> NoReturn:
    raise EncoderError(f"the encoder's preparer returned {problem}")


def _is_triple(values: Any) -> bool:
    return isinstance(values, tuple | list | np.ndarray) and np.shape(values) == (3,)


def _is_word(flag: Any) -> bool:
    return (
        isinstance(flag, str)
        and 0 < len(flag) <= _LONGEST_FLAG
        and flag.isprintable()
        and not any(c.isspace() or c == "," for c in flag)
    )


def _whole(value: Any, name: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        _refuse(f"{name} of type {type(value).__name__}, not a whole number")
    if isinstance(value, bool) or not least <= number < _INT32:
        _refuse(f"{name} that is not from {least} to 2**31 - 1")
    return number


def _length(value: Any) -> float:
    """A spacing in mm, which is stored as float32."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not _SHORTEST <= number <= _LONGEST:
        _refuse(f"a spacing that is not from {_SHORTEST:g} to {_LONGEST:g} mm")
    return number


def checked_brain(brain: Any) -> BrainRecord:
    """The record of a brain in plain types.

    Raises:
        EncoderError: it cannot be stored.
    """
    if not isinstance(brain, BrainRecord):
        _refuse(f"a brain of type {type(brain).__name__}, not BrainRecord")
    for name in ("mask_from", "to_mni_from"):
        value = getattr(brain, name)
        if not (isinstance(value, str) and len(value) <= _LONGEST_SOURCE and value.isprintable()):
            _refuse(f"brain.{name} that is not a short text")
    numbers = {}
    for name, most in (("litres", _MOST_LITRES), ("scale", _MOST_SCALE), ("dice", 1.0)):
        numbers[name] = _number(getattr(brain, name), f"brain.{name}")
        if not (math.isnan(numbers[name]) or 0 <= numbers[name] <= most):
            _refuse(f"brain.{name} that is not from 0 to {most:g}, or NaN")
    to_mni = brain.to_mni
    if not isinstance(to_mni, tuple | list | np.ndarray) or np.shape(to_mni) not in ((0,), (16,)):
        _refuse("brain.to_mni that is not 16 numbers")
    matrix = tuple(_number(value, "brain.to_mni") for value in to_mni)
    if not all(map(math.isfinite, matrix)) or (matrix and matrix[12:] != (0, 0, 0, 1)):
        _refuse("brain.to_mni that is not an affine")
    litres, scale, dice = (numbers[name] for name in ("litres", "scale", "dice"))
    return replace(brain, to_mni=matrix, litres=litres, scale=scale, dice=dice)


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        _refuse(f"{name} of type {type(value).__name__}, not a number")


def make_read_only(arrays: Any) -> None:
    """Make numpy arrays read-only, also those in containers and dataclasses: a failed batch is encoded again."""
    if isinstance(arrays, np.ndarray):
        arrays.setflags(write=False)
    elif isinstance(arrays, Mapping):
        make_read_only(list(arrays.values()))
    elif isinstance(arrays, list | tuple):
        for one in arrays:
            if isinstance(one, np.ndarray | Mapping | list | tuple) or is_dataclass(one):
                make_read_only(one)
    elif is_dataclass(arrays) and not isinstance(arrays, type):
        make_read_only([getattr(arrays, field.name, None) for field in fields(arrays)])


def checked_vectors(encoded: EncodedStudy, widths: Widths, n_series: int, tokens: bool) -> EncodedStudy:
    """The vectors of one study as float32 and copied, since an encoder may use its arrays again.

    Args:
        encoded: what `Inference.encode` returned for the study.
        widths: of the encoder.
        n_series: series of the study.
        tokens: whether tokens were asked for; others are dropped.

    Raises:
        EncoderError: a vector has the wrong shape or type, CLIP vectors are not of length 1, or tokens are missing.
    """
    if not isinstance(encoded, EncodedStudy):
        raise EncoderError(
            f"the encoder returned an object of type {type(encoded).__name__}, not EncodedStudy"
        )
    if not tokens:
        encoded = replace(encoded, tokens=())
    elif not len(encoded.tokens):
        raise EncoderError("the encoder returned no tokens")
    if problem := widths.mismatch(encoded, n_series):
        raise EncoderError(f"the encoder returned {problem}")
    study = None if encoded.study is None else _real(encoded.study, "study")
    clip = None if encoded.clip is None else _real(encoded.clip, "clip")
    if clip is not None and np.isfinite(clip).all():
        length = float(np.linalg.norm(clip.astype(np.float64)))
        if abs(length - 1) > _UNIT_TOLERANCE:
            raise EncoderError(f"the encoder returned a CLIP vector of length {length:.3g}, not 1")
    tokens_of = tuple(map(_checked_tokens, encoded.tokens))
    return EncodedStudy(_real(encoded.series, "series"), study, clip, tokens_of)


def _real(values: Any, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise EncoderError(f"the encoder returned {name} vectors of type {found.dtype}, not float32")
    with np.errstate(over="ignore"):  # infinity is reported as such
        return np.array(found, np.float32)


def _checked_tokens(tokens: Tokens) -> Tokens:
    coord = np.asarray(tokens.coord)
    limits = np.iinfo(np.int16)
    if coord.dtype.kind not in "iu" or (
        coord.size and not limits.min <= coord.min() <= coord.max() <= limits.max
    ):
        raise EncoderError("the encoder returned coordinates of tokens that are not whole numbers of int16")
    return Tokens(_real(tokens.embedding, "token"), coord.astype(np.int16))


def preparer_of(encoder: Encoder) -> Preparer:
    """What reads and prepares series for an encoder.

    Raises:
        UsageError: the encoder cannot make it.
    """
    with encoder_code(encoder.info.encoder, "make its preparer"):
        return encoder.preparer()


def checked_info(encoder: Encoder) -> EncoderInfo:
    """What an encoder says of itself, in plain types.

    Raises:
        UsageError: it cannot be recorded in an embeddings file.
    """
    with encoder_code(type(encoder).__name__, "state its EncoderInfo"):
        info = encoder.info
    if not isinstance(info, EncoderInfo):
        _refuse_info(type(encoder).__name__, f"an object of type {type(info).__name__}, not EncoderInfo")
    for field in fields(info):
        value = getattr(info, field.name)
        if field.name not in ("widths", "settings", "uses_anatomy") and not (
            isinstance(value, str) and len(value) <= _LONGEST_TEXT
        ):
            _refuse_info(
                info.encoder, f"{field.name} that is not a text of at most {_LONGEST_TEXT} characters"
            )
    try:
        text = json.dumps(dict(info.settings), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        _refuse_info(info.encoder, f"settings that are not JSON ({error})")
    if len(text) > _MOST_SETTINGS:
        _refuse_info(info.encoder, f"settings of {len(text):,} bytes, more than {_MOST_SETTINGS:,}")
    if not isinstance(info.uses_anatomy, bool):
        _refuse_info(info.encoder, "uses_anatomy that is not True or False")
    if not isinstance(info.widths, Widths):
        _refuse_info(info.encoder, "widths that are not Widths")
    widths = {
        field.name: _width(info.encoder, field.name, getattr(info.widths, field.name))
        for field in fields(Widths)
    }
    return replace(info, widths=Widths(**widths), settings=json.loads(text))  # type: ignore[arg-type]


def _width(encoder: str, name: str, value: Any) -> int | None:
    if value is None and name != "series":
        return None
    try:
        width = operator.index(value)
    except TypeError:
        width = 0
    if isinstance(value, bool) or not 0 < width <= _MOST_WIDTH:
        _refuse_info(encoder, f"a width of {name} vectors that is not from 1 to {_MOST_WIDTH:,}")
    return width


def _refuse_info(encoder: Any, problem: str) -> NoReturn:
    raise UsageError(
        f"The encoder {printable(str(encoder))[:200]!r} states {problem}: update the package that provides it"
    )


@contextmanager
def encoder_code(name: str, doing: str) -> Iterator[None]:
    """Turn what the code of an encoder raises into one sentence.

    Args:
        name: of the encoder.
        doing: what it is asked to do, after "cannot".

    Raises:
        UsageError: in place of any error that has no message of its own for users.
    """
    try:
        yield
    except (PrimaError, OSError):
        raise
    except (Exception, SystemExit) as error:  # a stranger's code can raise anything
        raise UsageError(
            f"The encoder {printable(name)[:200]!r} cannot {doing} ({first_line(error)}): check the model "
            "directory, or update the package that provides the encoder"
        ) from error


def first_line(error: BaseException) -> str:
    """Type and first line of the message of an error."""
    first, *_ = str(error).splitlines() or [""]
    return printable(f"{type(error).__name__}: {first}" if first else type(error).__name__)
