"""Imports run one way, along the data's path; light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import prima_features

LAYERS = ["studies", "volumes", "anatomy", "encoders", "embedding"]
"""Each may import what stands before it."""
BESIDE = {
    "files": {"files"},
    "hub": {"hub"},
    "models": {"hub", "models", "model_cards"},
    "evaluation": {"evaluation"},
    "page": {"evaluation", "page"},
    "encoders": {"studies", "volumes", "anatomy", "models", "model_cards", "encoders"},
    "embedding": {*LAYERS, "models", "page"},
    "clinical": {*LAYERS, "clinical", "evaluation", "models", "page", "reports"},
    "explain": {*LAYERS, "evaluation", "explain", "models", "page"},
    "doctor": {*LAYERS, "models", "doctor"},
    "reports": {"reports"},
    "synthetic": {"synthetic"},
    "pretraining": {*LAYERS, "models", "reports", "synthetic", "pretraining"},
    "bench": {"bench", "embedding", "evaluation", "page", "probes"},
    "probes": {"embedding", "evaluation", "hub", "probes", "model_cards", "models", "page", "studies"},
}
EVERYWHERE = {"errors", "files", "import_path", "processes", "wording", "_version"}
EMBEDDING = ["file", "engine", "resume", "record", "report", "export"]
"""Rooms of `embedding/`. Each may import what stands before it; what is not in a room ties them together."""
PRETRAINING = ["settings", "data", "batches", "model", "objectives", "training", "stages"]
"""Rooms of `pretraining/`, likewise."""
PACKAGE = Path(prima_features.__file__).parent
ROOM = {
    name: PACKAGE / name
    for name in (
        *LAYERS,
        "files",
        "hub",
        "evaluation",
        "page",
        "models",
        "bench",
        "clinical",
        "explain",
        "doctor",
        "reports",
        "synthetic",
        "pretraining",
    )
}


def imported(file: Path, below: str = "prima_features") -> set[str]:
    """First names below a package that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
            if node.module == below:
                modules = [f"{below}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        names |= {
            module.removeprefix(f"{below}.").split(".")[0]
            for module in modules
            if module.startswith(f"{below}.")
        }
    return names


@pytest.mark.parametrize("room", [*ROOM, "probes"])
def test_a_room_imports_only_what_stands_before_it(room: str) -> None:
    if room == "probes":
        from prima_features import probes

        folder = Path(probes.__file__).parent
    else:
        folder = ROOM[room]
    allowed = BESIDE.get(room) or set(LAYERS[: LAYERS.index(room) + 1])
    for file in folder.rglob("*.py"):
        # `python -m` of a room is the command by another name.
        door = {"cli"} if file.name == "__main__.py" else set()
        assert imported(file) <= allowed | EVERYWHERE | door, file


@pytest.mark.parametrize(
    ("package", "room"),
    [*(("embedding", room) for room in EMBEDDING), *(("pretraining", room) for room in PRETRAINING)],
)
def test_a_room_inside_a_package_imports_only_what_stands_before_it(package: str, room: str) -> None:
    rooms = {"embedding": EMBEDDING, "pretraining": PRETRAINING}[package]
    allowed = set(rooms[: rooms.index(room) + 1])
    place = PACKAGE / package / room
    for file in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        assert imported(file, below=f"prima_features.{package}") <= allowed, file


def test_only_prima_imports_prima() -> None:
    """Everything else knows encoders by the protocol, so that others can stand in its place."""
    for room in ("studies", "volumes", "models", "embedding", "page", "hub", "files"):
        for file in ROOM[room].rglob("*.py"):
            assert "encoders.prima" not in file.read_text(), file


def test_the_networks_read_and_write_nothing() -> None:
    io = {
        "h5py",
        "nibabel",
        "pydicom",
        "SimpleITK",
        "safetensors",
        "huggingface_hub",
        "pandas",
        "pathlib",
        "os",
    }
    for file in (PACKAGE / "encoders" / "prima" / "networks").rglob("*.py"):
        tree = ast.walk(ast.parse(file.read_text()))
        found = {
            name.split(".")[0]
            for node in tree
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        assert not found & io, file


def modules_after(code: str) -> set[str]:
    """Modules that a fresh Python holds after running some code."""
    code += "\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stderr.split())


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = "from prima_features.cli.main import main\n"
    code += "for command in [], ['embed'], ['inspect'], ['export'], ['doctor']:\n"
    code += "    assert main([*command, '--help']) == 0"
    heavy = {"torch", "sklearn", "pandas", "scipy", "SimpleITK", "nibabel", "transformers", "xgboost", "h5py"}
    assert not modules_after(code) & heavy


def test_nothing_is_installed_under_a_bare_name() -> None:
    modules = modules_after(
        "import prima_features.cli.main, prima_features.probes, prima_features.model_cards"
    )
    assert not modules & {"cli", "probes", "model_cards"}
