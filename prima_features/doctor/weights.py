"""The model's files, against their recorded checksums."""

from __future__ import annotations

from collections.abc import Iterator

from prima_features.doctor.check import Check, Setup, failed, passed, warned


def weights(setup: Setup) -> Iterator[Check]:
    """SHA-256 of every file of the model that has one recorded."""
    from prima_features.models.directory import CHECKSUMS, check_files
    from prima_features.models.resolve import resolve

    source = resolve(setup.model)
    files = check_files(source.directory)
    bad = [file.name for file in files if not file.ok]
    unrecorded = [file.name for file in files if file.recorded is None]
    if bad:
        found = f"{source.name}: the content of {', '.join(bad)} does not match {CHECKSUMS}"
        yield failed(
            "weights", found, "download or convert the model again; reinstall the package if it is bundled"
        )
    elif unrecorded:
        found = f"{source.name}: no checksum is recorded for {', '.join(unrecorded)}"
        yield warned(
            "weights", found, "compare them with those of the source (prima weights verify shows them)"
        )
    else:
        yield passed(
            "weights", f"{source.name} {source.revision}: {len(files)} files match their recorded checksums"
        )
