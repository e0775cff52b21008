"""Byte ranges of a zip file's entries, without extracting anything and in constant memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from prima_features.models.checkpoint.records import CheckpointError

CHUNK_BYTES = 8 * 2**20
_LOCAL_HEADER_BYTES = 30  # PKWARE APPNOTE 4.3.7
_ENCRYPTED = 0x1


class ZipEntries:
    """The entries of an open zip file. Names are only ever looked up, so that none can lead to another path.

    Raises:
        CheckpointError: bytes that are no zip file, or one that is cut off.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise CheckpointError(
                "is not a whole torch.save archive: it is cut off, of another kind, or from before torch 1.6 "
                "(then save it again with a newer torch, on a machine where its code may run)"
            ) from error

    def names(self) -> list[str]:
        """All entries' names."""
        return self._zip.namelist()

    def size(self, name: str) -> int:
        """Bytes of an entry, uncompressed, as the file's directory states them."""
        return self._entry(name).file_size

    def chunks(self, name: str, start: int, count: int) -> Iterator[bytes]:
        """`count` bytes of an entry from `start` on, in pieces of at most `CHUNK_BYTES`.

        Stored entries are read in place, whatever their size. Deflated ones, which a tool leaves that packed
        the archive again, are inflated from their beginning each time.

        Raises:
            CheckpointError: no such entry, fewer bytes than asked for, encryption, or damage.
        """
        entry = self._entry(name)
        pieces = self._stored if entry.compress_type == zipfile.ZIP_STORED else self._inflated
        for chunk in pieces(entry, start, count):
            count -= len(chunk)
            yield chunk
        if count:
            raise CheckpointError(f"is truncated at {name}: copy or download it again")

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._zip.NameToInfo:
            raise CheckpointError(f"lacks the entry {name}: copy or download it again")
        entry = self._zip.getinfo(name)
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise CheckpointError(
                f"contains {name} encrypted or compressed in a way torch.save does not write"
            )
        return entry

    def _stored(self, entry: zipfile.ZipInfo, start: int, count: int) -> Iterator[bytes]:
        position = self._data_start(entry) + start
        end = position + min(count, entry.file_size - start)
        while position < end:
            # Another reader may have moved the file's position since the last piece.
            self._file.seek(position)
            chunk = self._file.read(min(end - position, CHUNK_BYTES))
            if not chunk:
                return
            position += len(chunk)
            yield chunk

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER_BYTES)
        if entry.compress_size != entry.file_size or header[:4] != b"PK\x03\x04":
            raise CheckpointError(f"is damaged at {entry.filename}: copy or download it again")
        name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        return entry.header_offset + _LOCAL_HEADER_BYTES + name + extra

    def _inflated(self, entry: zipfile.ZipInfo, start: int, count: int) -> Iterator[bytes]:
        try:
            with self._zip.open(entry) as stream:
                stream.seek(start)
                while count and (chunk := stream.read(min(count, CHUNK_BYTES))):
                    count -= len(chunk)
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CheckpointError(f"is damaged at {entry.filename} ({error})") from error
