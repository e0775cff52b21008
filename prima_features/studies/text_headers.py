"""The headers of NRRD and MetaImage files, checked before SimpleITK reads them.

The libraries behind SimpleITK open any file that a header names, and crash the process on long or misplaced words.
A header is therefore accepted only if each line is a field of the format, with a value of the right type
(NRRD: teem.sourceforge.net/nrrd/format.html; MetaImage: itk.org/Wiki/MetaIO/Documentation).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from prima_features.files.safe import open_regular

_NRRD, _META = (".nrrd", ".nhdr"), (".mha", ".mhd")
_MAX_HEADER = 1 << 20
_MAX_LINE = 400

_NUMBER = r"(?:[-+]?(?:\d{1,20}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?)"
_VECTOR = rf"(?:none|\([ ]*{_NUMBER}(?:[ ]*,[ ]*{_NUMBER}){{1,3}}[ ]*\))"
_TEXTS = r'(?:"[^"\\]{0,60}"[ ]*){1,5}'
_WORDS = r"(?:[\w?-]{1,30}[ ]*){1,5}"
_NUMBERS = rf"(?:(?:{_NUMBER}|nan)[ ]*){{1,5}}"
_NRRD_FIELDS = {
    r"type": r"[a-z0-9_ ]{1,30}",
    r"dimension": r"[1-9]",
    r"space": r"[\w-]{1,60}",
    r"space dimension": r"[1-9]",
    r"sizes": r"(?:\d{1,9}[ ]*){1,5}",
    r"space directions": rf"(?:{_VECTOR}[ ]*){{1,5}}",
    r"space origin": _VECTOR,
    r"measurement frame": rf"(?:{_VECTOR}[ ]*){{1,4}}",
    r"kinds|centers|centerings": _WORDS,
    r"labels|units|space units": _TEXTS,
    r"thicknesses|spacings|axis ?mins|axis ?maxs": _NUMBERS,
    r"min|max|old ?min|old ?max": _NUMBER,
    r"encoding": r"raw|gz|gzip",
    r"endian": r"little|big",
    r"byte ?skip|line ?skip": r"-1|\d{1,9}",
    r"content|sample ?units": r"[ -~]{1,200}",
    r"data ?file": r"[^\n]{1,255}",
}
_META_FIELDS = {
    r"ObjectType": r"Image",
    r"NDims": r"[2-4]",
    r"DimSize": r"(?:\d{1,9}[ ]*)",
    r"BinaryData": r"True",
    r"BinaryDataByteOrderMSB|ElementByteOrderMSB|CompressedData": r"True|False",
    r"CompressedDataSize|HeaderSize": r"-1|\d{1,12}",
    r"Offset|Position|Origin|CenterOfRotation|ElementSpacing|ElementSize": rf"(?:{_NUMBER}[ ]*)",
    r"TransformMatrix|Rotation|Orientation": rf"(?:{_NUMBER}[ ]*)",
    r"ElementType": r"MET_U?(?:CHAR|SHORT|INT|LONG|LONG_LONG|FLOAT|DOUBLE)",
    r"ElementNumberOfChannels": r"\d{1,3}",
    r"ElementDataFile": r"[^\n]{1,255}",
}
_PER_AXIS = re.compile(r"DimSize|Offset|Position|Origin|CenterOfRotation|ElementSpacing|ElementSize")
_PER_PAIR = re.compile(r"TransformMatrix|Rotation|Orientation")
_OTHER_META_KEY = re.compile(r"[A-Za-z0-9_|]{1,60}")


def read_data_file(path: Path) -> str | None:
    """The file that the header of an NRRD or MetaImage file names for its voxels; empty if it names none.

    Returns:
        None for other formats.

    Raises:
        OSError: the file cannot be read.
        ValueError: the header is damaged, or has an unsupported field or value.
    """
    suffix = path.suffix.lower()
    if suffix not in _NRRD + _META:
        return None
    with open_regular(path) as file:
        return _nrrd(file) if suffix in _NRRD else _meta(file)


def _nrrd(file: BinaryIO) -> str:
    """Read to the first empty line. A carriage return alone ends a line as well."""
    raw = file.read(_MAX_HEADER)
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    header, end, _ = text.partition(b"\n\n")
    if not end and len(raw) == _MAX_HEADER:
        raise ValueError("its header has no end")
    first, *lines = header.decode("utf-8", "surrogateescape").rstrip("\n").split("\n")
    if not re.fullmatch(r"NRRD000[1-5]", first):
        raise ValueError("its content is not NRRD")
    data_file, seen = "", set()
    for line in lines:
        name, colon, value = line.partition(":")
        if len(line) > _MAX_LINE or "\0" in line:
            raise _not_read(name)
        if line.startswith("#") or (colon and value.startswith("=")):  # comments and custom keys
            continue
        value = value.strip(" \t")
        if name in seen or not _fits(_NRRD_FIELDS, name, value.replace("\t", " ")):
            raise _not_read(name)
        seen.add(name)
        if re.fullmatch("data ?file", name):
            data_file = value
    if "encoding" not in seen:
        raise ValueError("its header states no encoding")
    return data_file


def _meta(file: BinaryIO) -> str:
    """Read to ElementDataFile, the last field."""
    n_axes, left, seen = 0, _MAX_HEADER, set()
    while left > 0 and (raw := file.readline(_MAX_LINE + 2)):
        left -= len(raw)
        line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
        name, _, value = (part.strip(" \t") for part in line.partition("="))
        if len(line) > _MAX_LINE or not value or "\0" in line or "\r" in line or name in seen:
            raise _not_read(name)
        seen.add(name)
        if _is_field(_META_FIELDS, name):
            n = n_axes if _PER_AXIS.fullmatch(name) else n_axes**2 if _PER_PAIR.fullmatch(name) else 1
            words = value.split() if n != 1 else [value]
            if len(words) != n or not all(_fits(_META_FIELDS, name, word) for word in words):
                raise _not_read(name)
        elif not _OTHER_META_KEY.fullmatch(name):
            raise _not_read(name)
        if name == "NDims":
            n_axes = int(value)
        if name == "ElementDataFile":
            return "" if value.upper() == "LOCAL" else value
    raise ValueError("its header does not state where its voxels are")


def _is_field(fields: dict[str, str], name: str) -> bool:
    return any(re.fullmatch(names, name) for names in fields)


def _fits(fields: dict[str, str], name: str, value: str) -> bool:
    return any(re.fullmatch(names, name) and re.fullmatch(kind, value) for names, kind in fields.items())


def _not_read(name: str) -> ValueError:
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:40])
    return ValueError(f"its header has an unsupported line: {shown}")
