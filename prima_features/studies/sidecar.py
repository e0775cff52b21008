"""JSON sidecars and gradient tables: what files next to an image state about it.

The fields are those of BIDS, and of dcm2niix, which writes them.

A sidecar can state that an image is a phase image, the orientation of its slices, and its name. A file that exists and
cannot be read is therefore an error of the images that it describes (`SidecarError`); it is never treated as missing.
"""

import codecs
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prima_features.files.safe import UnsafeFileError, open_regular
from prima_features.studies.labels import series_name
from prima_features.studies.study import SidecarScale

B0_LIMIT = 50.0
"""Volumes with a b-value up to this, in s/mm2, count as b=0: scanners write 5 or so for spoiled zeros."""
MAX_BYTES = 8 << 20
"""Sidecars have a few kilobytes; a file of many megabytes is something else."""

HINT = "repair the file, or convert the scan again; without the file, the image's header alone is used"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECODER = json.JSONDecoder(strict=False)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*[}\]])', re.DOTALL)
_OTHER_PARTS = {
    **dict.fromkeys(("PHASE", "PHASE MAP", "PHASEMAP", "P", "SW_P"), "a phase image"),
    **dict.fromkeys(("IMAGINARY", "I"), "the imaginary part of a complex image"),
    **dict.fromkeys(("B0 MAP", "B0_MAP", "FIELD_MAP", "FIELDMAP", "FIELDMAPHZ"), "a field map"),
    "VELOCITY MAP": "a velocity map",
}
"""Values of ImageType and ComplexImageComponent of images that are not magnitude images."""
_OTHER_UNITS = {
    **dict.fromkeys(("rad", "mrad", "milliradials", "degrees"), "a phase image"),
    **dict.fromkeys(("hz", "rad/s", "t", "tesla"), "a field map"),
    **dict.fromkeys(("cm/s", "m/s"), "a velocity map"),
}
_OTHER_MODALITIES = {
    "CT": "a CT image",
    "NM": "a nuclear medicine image",
    "US": "an ultrasound image",
    "SEG": "a segmentation",
    **dict.fromkeys(("PT", "PET"), "a PET image"),
    **dict.fromkeys(("CR", "DX", "XA", "RF", "MG"), "an X-ray image"),
}


class SidecarError(ValueError):
    """A file that describes an image cannot be used. The message continues a sentence about that file."""


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Put the name of a file before the message of a `SidecarError` in the block."""
    try:
        yield
    except SidecarError as error:
        raise SidecarError(f"{file} {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Fields of a sidecar.

    UTF-8, UTF-16 and UTF-32 are recognised; other bytes are read as Windows-1252, a superset of Latin-1. Line breaks
    inside texts and other control characters, commas before a closing bracket, NaN and Infinity are accepted.

    Raises:
        SidecarError: it is missing, is not a regular file, has more than `MAX_BYTES` bytes, or is not a JSON object.
    """
    text = _decode(_read(path))
    try:
        fields = _parse(text)
    except RecursionError as error:
        raise SidecarError("is nested too deeply") from error
    except ValueError as error:
        # Not the parser's own message: it can quote the file.
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise SidecarError(f"is not valid JSON{where}" if text.strip() else "is empty") from error
    if not isinstance(fields, dict):
        raise SidecarError("does not contain a JSON object")
    return fields


def name_of(fields: Mapping[str, Any]) -> str:
    """The series' name from SeriesDescription and ProtocolName, or an empty string."""
    return series_name(_text(fields, "SeriesDescription").strip(), _text(fields, "ProtocolName").strip())


def orientation_of(fields: Mapping[str, Any]) -> tuple[float, ...]:
    """Directions of the acquired slices' rows and columns: six numbers, or none if the field is absent or zero.

    Source: ImageOrientationPatientDICOM, a copy of DICOM's ImageOrientationPatient (0020,0037).

    Raises:
        SidecarError: the field is not two perpendicular directions of length 1.
    """
    values = fields.get("ImageOrientationPatientDICOM")
    if values is None or values == []:
        return ()
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) == 6 and not any(numbers):  # as anonymisers leave it
        return ()
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or not _is_orientation(numbers):
        raise SidecarError("has an ImageOrientationPatientDICOM that is not two perpendicular directions")
    return numbers


def scale_of(fields: Mapping[str, Any]) -> SidecarScale:
    """The intensity scale of Philips images, as written by dcm2niix. Fields that are not finite numbers are missing."""

    def number(name: str) -> float:
        value = fields.get(name)
        is_number = isinstance(value, int | float) and abs(value) < sys.float_info.max
        return float(value) if is_number else 0.0  # type: ignore[arg-type]

    precise = fields.get("UsePhilipsFloatNotDisplayScaling")
    manufacturer = fields.get("Manufacturer")
    return SidecarScale(
        manufacturer=manufacturer if isinstance(manufacturer, str) else "",
        precise=bool(precise) if isinstance(precise, int) else None,
        rescale_slope=number("PhilipsRescaleSlope"),
        rescale_intercept=number("PhilipsRescaleIntercept"),
        scale_slope=number("PhilipsScaleSlope"),
        real_world_slope=number("PhilipsRWVSlope"),
        real_world_intercept=number("PhilipsRWVIntercept"),
    )


def other_kind(fields: Mapping[str, Any]) -> str:
    """What an image is if it is not an MRI magnitude image, e.g. "a phase image"; otherwise an empty string.

    Source: Modality (0008,0060), ImageType (0008,0008), ComplexImageComponent (0008,9208), and BIDS's Units.
    """
    if other := _OTHER_MODALITIES.get(_text(fields, "Modality").strip().upper()):
        return other
    words = [*_words(fields.get("ImageType")), *_words(fields.get("ComplexImageComponent"))]
    if other := next((_OTHER_PARTS[word] for word in words if word in _OTHER_PARTS), ""):
        return other
    return _OTHER_UNITS.get(_text(fields, "Units").strip().lower(), "")


def with_ending(path: Path, ending: str) -> Path:
    """The file `path` plus an ending such as `.json`, in upper case if only that exists."""
    upper = path.with_name(path.name + ending.upper())
    lower = path.with_name(path.name + ending)
    return upper if os.path.lexists(upper) and not os.path.lexists(lower) else lower


def read_b_values(path: Path) -> tuple[float, ...]:
    """The b-values of a gradient table in FSL's format (.bval: numbers separated by spaces), s/mm2.

    Raises:
        SidecarError: it cannot be read, is empty, or contains something other than numbers.
    """
    words = re.split(r"[\s,;]+", _decode(_read(path)).strip())
    try:
        values = tuple(float(word) for word in words if word)
    except ValueError as error:
        raise SidecarError("contains something other than numbers") from error
    if not values:
        raise SidecarError("is empty")
    return values


def b0_volumes(b_values: tuple[float, ...]) -> tuple[int, ...]:
    """Indices of the b=0 volumes: all up to `B0_LIMIT`, or else the first of those with the lowest b-value."""
    numbers = [value if math.isfinite(value) else math.inf for value in b_values]
    zeros = tuple(i for i, value in enumerate(numbers) if value <= B0_LIMIT)
    return zeros or (numbers.index(min(numbers)),)


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except UnsafeFileError as error:
        raise SidecarError(str(error)) from error
    except FileNotFoundError as error:
        raise SidecarError("is a broken link" if path.is_symlink() else "does not exist") from error
    except OSError as error:
        raise SidecarError(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise SidecarError(f"has more than {MAX_BYTES >> 20} MiB")
    return content


def _decode(content: bytes) -> str:
    if not content.isascii():
        for mark, encoding in _MARKS:
            if content.startswith(mark):
                return content.decode(encoding, "replace")
    if b"\0" in content[:4]:  # UTF-16 without a mark: the first characters of a sidecar are ASCII
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        return _DECODER.decode(_TRAILING_COMMA.sub(lambda match: match[1] or "", text))
    except ValueError:  # a whole number of more digits than Python converts
        return json.loads(text, strict=False, parse_int=float)


def _is_orientation(numbers: tuple[float, ...]) -> bool:
    row, column = numbers[:3], numbers[3:]
    lengths = [math.hypot(*row), math.hypot(*column)]
    return (
        all(abs(length - 1) < 0.05 for length in lengths)
        and abs(sum(a * b for a, b in zip(row, column, strict=True))) < 0.05
    )


def _words(value: Any) -> list[str]:
    """A list of words, also if written as in DICOM: separated by backslashes."""
    if isinstance(value, str):
        value = re.split(r"[\\,]", value.strip("[]"))
    words = value if isinstance(value, list) else []
    return [word.strip(" '\"").upper() for word in words if isinstance(word, str)]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, list):
        return " ".join(str(item) for item in value if isinstance(item, str | int | float))
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
