"""What is installed: every package, from the wheel as well as editable."""

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import prima_features
from prima_features import __version__

REPOSITORY = Path(__file__).parent.parent
FOLDERS = {
    "prima_features": "prima_features",
    "cli": "prima_features.cli",
    "probes": "prima_features.probes",
    "model_cards": "prima_features.model_cards",
}


def packages_on_disk() -> set[str]:
    found = set()
    for folder, package in FOLDERS.items():
        for init in (REPOSITORY / folder).rglob("__init__.py"):
            below = init.parent.relative_to(REPOSITORY / folder).parts
            found.add(".".join((package, *below)))
    return found


def test_the_package_list_names_every_package_on_disk() -> None:
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    assert set(config["options"]["packages"].split()) == packages_on_disk()


def test_every_folder_with_code_is_a_package() -> None:
    for folder in FOLDERS:
        for file in (REPOSITORY / folder).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree, built from a copy so that no build folder is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("needs a git checkout")
    for name in tracked.stdout.splitlines():
        if not name.startswith("tests/") and (REPOSITORY / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((REPOSITORY / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_code_models_and_cards_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"prima_features"}
    for package in packages_on_disk():
        assert f"{package.replace('.', '/')}/__init__.py" in names
    bundled = REPOSITORY / "prima_features" / "models" / "bundled"
    models = [file for file in bundled.glob("*/*") if file.parent.name != "__pycache__"]
    for model in ("prima-untrained", "prima-synth"):
        for name in ("config.json", "model.safetensors", "README.md", "known_answer.json"):
            assert bundled / model / name in models
    for file in models:
        assert f"prima_features/models/bundled/{file.parent.name}/{file.name}" in names
        assert f"prima_features/model_cards/{file.parent.name}.md" in names
    assert "prima_features/py.typed" in names
    assert "prima_features/doctor/codecs.toml" in names
    for file in (REPOSITORY / "probes").rglob("*"):
        if file.suffix in (".toml", ".jinja"):
            assert f"prima_features/{file.relative_to(REPOSITORY).as_posix()}" in names


def test_the_wheel_embeds_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True)
    source = REPOSITORY / "tests" / "data" / "study_a" / "002_t2_ax"
    command = "import sys, prima_features.cli.main as m; print(m.__file__); sys.exit(m.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "embed", str(source), "out.h5", "--model", "prima-untrained"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert (tmp_path / "out.h5").exists()


def test_the_citation_file_has_the_version() -> None:
    assert f"\nversion: {__version__}\n" in (REPOSITORY / "CITATION.cff").read_text()


def test_every_subpackage_is_visible_in_a_checkout() -> None:
    """Editors and type checkers look for `prima_features.probes` in `prima_features/`."""
    for folder, package in FOLDERS.items():
        link = REPOSITORY / package.replace(".", "/")
        if link.is_file():  # Git on a system without symbolic links writes their targets
            continue
        assert link.resolve() == REPOSITORY / folder


def test_dir_lists_the_public_names() -> None:
    assert dir(prima_features) == ["PrimaModel", "__version__", "embed", "read_embeddings"]


def test_the_source_distribution_has_documents_and_no_part_of_the_tests() -> None:
    lines = (REPOSITORY / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    assert "prune tests" in lines  # setuptools adds tests/test_*.py without their helpers
    assert "include CHANGELOG.md CITATION.cff constraints.txt" in lines
