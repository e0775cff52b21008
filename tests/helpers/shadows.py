"""A folder whose modules have the names of others, and leave a trace when they are imported."""

from pathlib import Path

NAMES = (
    "SimpleITK",
    "numpy",
    "torch",
    "multiprocessing",
    "pickle",
    "sitecustomize",
    "usercustomize",
    "nibabel",
    "json",
    "typing_extensions",
    "tomllib",
    "zipfile",
    "random",
    "huggingface_hub",
)


def write_shadows(folder: Path, trace: Path) -> None:
    """Write them; each adds its name to the file `trace` and ends the process."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(trace)!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        )
