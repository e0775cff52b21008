"""Work in progress: one file a finished study in `OUTPUT.h5.parts/`, so that a killed run loses little."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from prima_features.embedding.file.records import (
    EmbeddedSeries,
    EmbeddedStudy,
    FailedStudy,
    Result,
    StudyHeader,
    flags_of,
)
from prima_features.encoders.base import BrainRecord, Picture, Tokens
from prima_features.encoders.checks import EncoderError, checked_brain
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import output_errors, write_bytes
from prima_features.files.plain import from_plain
from prima_features.files.safe import load_json, open_regular, safetensors_header
from prima_features.files.text import file_stem
from prima_features.studies.study import Failure, NiftiImage, Study
from prima_features.volumes.volume import PLANES

logger = logging.getLogger(__name__)

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, EncoderError)


class PartsFolder:
    """A folder of parts.

    A part is a safetensors file: vectors as tensors, the rest as JSON in its header, with a hash of both. It is
    written to a temporary name, fsynced and renamed, so what has a part's name is whole; the hash tells what the
    disk has done to it since. A study that failed has a part too, without vectors. Resuming trusts a part only
    where its `input_hash` still matches, never because it exists.

    Files are read whole, not mapped: where a network disk goes away, a read of a mapped file kills the process.

    Raises:
        OutputError: from every method: the folder cannot be read or written.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def of(cls, output: Path) -> PartsFolder:
        """The parts of an output file: `OUTPUT.h5.parts/`."""
        return cls(output.with_name(output.name + ".parts"))

    def create(self) -> None:
        """Make the folder if it is not there yet."""
        with output_errors(self.folder):
            self.folder.mkdir(exist_ok=True)

    def check_folder(self) -> None:
        """Check that the folder is one of parts, since it is deleted in the end.

        Raises:
            UsageError: it is a file, or holds something else.
        """
        if self.folder.is_dir():
            strange = next((entry for entry in self._entries() if not _is_ours(entry)), None)
            if strange is None and not (self.folder / "plan.json").exists():
                # Without a plan, it may be a folder of the user's models.
                strange = next((one for one in self._entries() if not _looks_ours(Path(one))), None)
            if strange is not None:
                raise UsageError(
                    f"{self.folder} contains {strange.name}, which is not a part of a run; move it, or name "
                    f"another output"
                )
        elif os.path.lexists(self.folder):
            raise UsageError(f"{self.folder} is a file; move it, or name another output")

    def save(self, result: Result, study: Study | None = None, uses_anatomy: bool = False) -> None:
        """Keep a finished study, in place of an earlier part of it.

        Args:
            study: whose NIfTI files are recorded with their sizes and times, for `changed`. Paths of DICOM files, which
                can carry names, are not.
            uses_anatomy: also record their brain masks and transforms.
        """
        tensors, record = _dismantle(result)
        files = _states(study, uses_anatomy) if study is not None else []
        metadata = {
            "input_hash": result.input_hash,
            "study": json.dumps(record),
            "files": json.dumps(files),
        }
        metadata["content_hash"] = _content_hash(tensors, metadata)
        write_bytes(self._path(result.id), save(tensors, metadata))

    def header(self, study_id: str) -> StudyHeader | None:
        """What the study's part says of itself, or None if there is none or it is damaged."""
        try:
            with open_regular(self._path(study_id)) as file:
                metadata = _read_metadata(file)
            record = _read_record(metadata, study_id)
            series = record.get("series", ())
            flags = [
                flag
                for one in series
                for flag in flags_of(",".join(one["flags"]), one["slice_axis_known_by"])
            ]
            return StudyHeader(metadata["input_hash"], len(series), _failures(record), tuple(flags))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        except _DAMAGE:
            logger.warning("The part of %s is damaged; the study is embedded again.", study_id)
            return None

    def changed(self, study_id: str) -> bool:
        """Whether a file that the study's part was made of has changed since, as far as can be seen from here.

        A disk that is not mounted here tells nothing, and neither do parts of DICOM, which record no paths.
        """
        try:
            with open_regular(self._path(study_id)) as file:
                files = load_json(_read_metadata(file).get("files", "[]"))
            return any(_differs(Path(path), size, time) for path, size, time in files)
        except (OSError, *_DAMAGE):
            return False

    def load(self, study_id: str, expected: str) -> Result | None:
        """The study's part, or None if there is none, it is damaged, or its input hash is not as expected."""
        try:
            with open_regular(self._path(study_id)) as file:
                metadata = _read_metadata(file)
                if metadata["input_hash"] != expected:
                    return None
                file.seek(0)
                tensors = load(file.read())
            if metadata.pop("content_hash") != _content_hash(tensors, metadata):
                raise ValueError("the content does not match its hash")
            return _assemble(tensors, _read_record(metadata, study_id), expected)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        except (*_DAMAGE, SafetensorError):
            logger.warning("The part of %s is damaged; the study is embedded again.", study_id)
            return None

    def outside(self, studies: Iterable[str]) -> list[str]:
        """Ids of the studies that have a part here and are not among these."""
        known, found = set(studies), set[str]()
        names = {self._path(study_id).name for study_id in known}
        for path in self.folder.glob("*.safetensors"):
            if path.name not in names:
                with suppress(OSError, *_DAMAGE), open_regular(path) as file:
                    found.add(str(load_json(_read_metadata(file)["study"], finite=False)["id"]))
        return sorted(found - known)

    def discard(self, study_id: str) -> None:
        """Delete the study's part, if there is one."""
        with output_errors(self._path(study_id)):
            self._path(study_id).unlink(missing_ok=True)

    def remove(self, last: Sequence[Path] = ()) -> None:
        """Delete the folder, unless something else has been put there.

        Args:
            last: files that are deleted after all others, in this order.
        """
        with suppress(OSError):
            first = [path for one in self._entries() if _is_ours(one) and (path := Path(one)) not in last]
            for path in (*first, *last):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """What is in the folder. Entries know whether they are folders without a request to the disk for each."""
        with os.scandir(self.folder) as entries:
            yield from entries

    def _path(self, study_id: str) -> Path:
        return self.folder / f"{file_stem(study_id)}.safetensors"

    def _unreadable(self, error: OSError) -> OutputError:
        what = error.strerror or "input/output error"
        return OutputError(
            f"{self.folder} cannot be read ({what}); check the disk and run the same command again"
        )


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether a file in a folder of parts was written by a run: parts, claims, records, the plan and the key."""
    name = entry.name
    return not entry.is_dir() and (
        name in ("plan.json", "key")
        or name.endswith((".safetensors", ".claim", ".worker", ".run"))
        or (name.startswith(".") and (name.endswith(".tmp") or name.startswith(".nfs")))
    )


def _looks_ours(path: Path) -> bool:
    """Whether a file with the name of a part or key has its content, as far as it can be read."""
    if path.name == "key":
        return len(path.read_bytes()[:65]) == 64
    if path.suffix != ".safetensors":
        return True
    try:
        with open_regular(path) as file:
            return "input_hash" in _read_metadata(file)
    except (OSError, *_DAMAGE):
        return False


def _read_metadata(file: BinaryIO) -> dict[str, str]:
    """The texts in a safetensors file's header.

    Raises:
        ValueError: it is damaged, or cut off.
    """
    metadata: dict[str, str] = safetensors_header(file)["__metadata__"]
    if not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata that is not text")
    return metadata


def _read_record(metadata: dict[str, str], study_id: str) -> dict[str, Any]:
    """What a part says of its study, without the vectors; a spacing may be NaN.

    Raises:
        ValueError: it is no record, or that of another study, as in a file that was renamed or copied.
    """
    record = load_json(metadata["study"], finite=False)
    if not isinstance(record, dict) or record["id"] != study_id:
        raise ValueError("no record of this study")
    return record


def _states(study: Study, uses_anatomy: bool) -> list[tuple[str, int, int]]:
    """Path, size and time of each NIfTI file of a study, and of its masks and transforms if they are inputs."""
    series = [one for one in study.series if isinstance(one.image, NiftiImage)]
    files = [path for one in series for path in (*one.files, *(one.anatomy_files if uses_anatomy else ()))]
    states = [(path.absolute(), path.stat()) for path in files if path.exists()]
    return [(os.fsdecode(path), state.st_size, state.st_mtime_ns) for path, state in states]


def _differs(path: Path, size: int, time: int) -> bool:
    """Whether a file is another one than it was, or is gone from a folder that is there."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return path.parent.is_dir()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) != (size, time)


def _content_hash(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def _dismantle(result: Result) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The study's arrays by name, and all the rest as JSON types."""
    record = _fields(result)
    del record["input_hash"]
    tensors: dict[str, np.ndarray] = {
        name: vector for name in ("embedding", "clip") if (vector := record.pop(name, None)) is not None
    }
    for i, series in enumerate(record.get("series", ())):
        tensors[f"series.{i}.embedding"] = series.pop("embedding")
        for name, values in (series.pop("tokens") or {}).items():
            tensors[f"series.{i}.tokens.{name}"] = values
        if series["picture"] is not None:
            tensors[f"series.{i}.picture"] = np.frombuffer(series["picture"].pop("jpeg"), np.uint8)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, record


def _fields(value: Any) -> Any:
    """As `asdict`, without copies of the vectors."""
    if is_dataclass(value):
        return {one.name: _fields(getattr(value, one.name)) for one in fields(value)}
    return tuple(map(_fields, value)) if isinstance(value, tuple) else value


def _assemble(tensors: dict[str, np.ndarray], record: dict[str, Any], input_hash: str) -> Result:
    failures = _failures(record)
    if "embedding" not in tensors:
        return FailedStudy(record["id"], failures, input_hash)
    series = []
    for i, values in enumerate(record.pop("series")):
        tokens = None
        if f"series.{i}.tokens.embedding" in tensors:
            tokens = Tokens(tensors[f"series.{i}.tokens.embedding"], tensors[f"series.{i}.tokens.coord"])
        if picture := values.get("picture"):
            values["picture"] = Picture(tensors[f"series.{i}.picture"].tobytes(), **picture)
        values |= {name: tuple(values[name]) for name in ("shape", "spacing", "flags")}
        if brain := values.get("brain"):
            values["brain"] = checked_brain(BrainRecord(**brain))
        series.append(EmbeddedSeries(**values, embedding=tensors[f"series.{i}.embedding"], tokens=tokens))
    record |= {"failures": failures, "input_hash": input_hash}
    study = EmbeddedStudy(
        **record, embedding=tensors["embedding"], clip=tensors.get("clip"), series=tuple(series)
    )
    _check(study)
    return study


def _check(study: EmbeddedStudy) -> None:
    """Raise ValueError where a column of the embeddings file could not take what a part holds."""
    vectors = [study.embedding, *(series.embedding for series in study.series)]
    if study.clip is not None:
        vectors.append(study.clip)
    texts = [study.id, study.subject, study.session, study.description, study.source]
    for series in study.series:
        texts += [series.name, series.source, series.slice_axis_known_by, *series.flags]
        if series.plane not in PLANES:
            raise ValueError("plane of a series")
        if len(series.shape) != 3 or len(series.spacing) != 3 or not 0 <= series.n_tokens < 1 << 31:
            raise ValueError("sizes of a series")
        if not all(isinstance(n, int) and 0 < n < 1 << 31 for n in series.shape):
            raise ValueError("shape of a series")
        if not all(isinstance(length, float | int) for length in series.spacing):
            raise ValueError("spacing of a series")
        if (tokens := series.tokens) is not None and (
            tokens.embedding.ndim != 2 or tokens.coord.shape != (len(tokens.embedding), 3)
        ):
            raise ValueError("tokens of a series")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("texts")
    if not study.series or any(vector.ndim != 1 or vector.dtype.kind != "f" for vector in vectors):
        raise ValueError("vectors")


def _failures(record: dict[str, Any]) -> tuple[Failure, ...]:
    return tuple(from_plain(Failure, failure) for failure in record["failures"])
