"""Results that take seconds to minutes, kept by the content of the scan: masks of programs, and registrations.

One file per result in `~/.cache/prima-features/anatomy` (or below XDG_CACHE_HOME; PRIMA_CACHE replaces
`~/.cache/prima-features`). Its name is the hash of everything that the result depends on, so it is never stale; damaged
files are replaced. A folder that cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from prima_features.errors import OutputError
from prima_features.files.disk import replacing
from prima_features.files.paths import expanded, home_folder
from prima_features.files.safe import read_bytes

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the files."""
_RECENT = 4
"""Results kept in memory: the encoders of one run ask for the same ones, even if nothing can be written."""
_MOST_BYTES = 1 << 28
_recent: OrderedDict[str, np.ndarray] = OrderedDict()
_has_warned = False


def cache_folder() -> Path | None:
    """The folder of the files; None if there is no home folder."""
    if place := os.environ.get("PRIMA_CACHE"):
        return expanded(Path(place)) / "anatomy"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # a relative path is invalid, as the XDG specification says
        if (home := home_folder()) is None:
            return None
        base = home / ".cache"
    return base / "prima-features" / "anatomy"


def cached(
    made_by: str,
    inputs: Sequence[np.ndarray],
    shape: tuple[int, ...],
    dtype: type[np.bool_] | type[np.float64],
    compute: Callable[[], np.ndarray],
) -> np.ndarray:
    """A result from the cache, or computed and stored.

    Args:
        made_by: program or method, with its version.
        inputs: all arrays that the result depends on.
        shape: of the result.
        dtype: of the result.
        compute: computes it. Its errors are raised and not stored.
    """
    key = _key(made_by, inputs)
    result = _recent.get(key)
    if result is None:
        if (folder := cache_folder()) is None:
            _warn("there is no home folder; set PRIMA_CACHE to a folder")
            result = compute().astype(dtype, copy=False)
        else:
            result = _kept(folder / key, shape, dtype, compute)
        result.setflags(write=False)
        _recent[key] = result
        while len(_recent) > _RECENT:
            _recent.popitem(last=False)
    return result


def _kept(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.bool_] | type[np.float64],
    compute: Callable[[], np.ndarray],
) -> np.ndarray:
    """The result in a file, or computed and stored there."""
    result = _load(path, shape, dtype)
    if result is None:
        with _alone(path):
            result = _load(path, shape, dtype)  # another run may have computed it meanwhile
            if result is None:
                result = compute().astype(dtype, copy=False)
                _store(path, result)
    return result


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for other processes that compute the same result, on systems and disks with locks."""
    lock = path.with_suffix(".lock")
    try:
        import fcntl

        _make_private(path.parent)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Whoever waits for the lock still has the file open.
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _key(made_by: str, inputs: Sequence[np.ndarray]) -> str:
    found = hashlib.sha256(f"{VERSION} {made_by}".encode())
    for one in inputs:
        found.update(f" {one.dtype} {one.shape} ".encode())
        found.update((np.packbits(one) if one.dtype == bool else one).tobytes())
    return found.hexdigest()


def _load(path: Path, shape: tuple[int, ...], dtype: type[np.bool_] | type[np.float64]) -> np.ndarray | None:
    """The result in a file; None if there is no file, or not such a result in it."""
    n = int(np.prod(shape))
    size = -(-n // 8) if dtype is np.bool_ else 8 * n
    try:
        content = read_bytes(path, _MOST_BYTES)
        digest, packed = content[:32], content[32:]
        if hashlib.sha256(packed).digest() != digest:
            return None
        raw = zlib.decompressobj().decompress(packed, size + 1)
    except (OSError, ValueError, zlib.error):
        return None
    if len(raw) != size:
        return None
    if dtype is np.bool_:
        return np.unpackbits(np.frombuffer(raw, np.uint8), count=n).reshape(shape).astype(bool)
    return np.frombuffer(raw, np.float64).reshape(shape).copy()


def _store(path: Path, result: np.ndarray) -> None:
    raw = np.packbits(result) if result.dtype == bool else np.ascontiguousarray(result)
    packed = zlib.compress(raw.tobytes(), 6)
    try:
        _make_private(path.parent)
        with replacing(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(packed).digest() + packed)
    except OutputError as error:
        _warn(str(error))
    except OSError as error:
        _warn(f"{path.parent} cannot be made ({error.strerror or error})")


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def _warn(problem: str) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        logger.warning(
            "Brain masks and registrations are not cached, and will be computed again in the next run: %s",
            problem,
        )
