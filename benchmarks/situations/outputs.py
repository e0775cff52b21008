"""Names, outputs and links to patients: odd texts reach every writer, and nothing is overwritten but own outputs."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from situations.common import Box, Outcome, Situations, head, named

SITUATIONS = Situations("outputs")
_QUICK = ("--model", "prima-untrained", "--workers", "0", "--no-pictures")


def _write_nifti(path: Path, seed: int = 0) -> Path:
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.rint(head(64, 72, 16, seed)).astype(np.int16)
    path.write_bytes(nib.Nifti1Image(values, np.diag([-3.0, -3.0, 6.0, 1.0])).to_bytes())
    return path


def _write_dicom(folder: Path, patient: str, seed: int = 0, modality: str = "MR", **texts: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir(parents=True, exist_ok=True)
    values = head(64, 72, 16, seed)
    for k in range(values.shape[2]):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = MRImageStorage
        uid = f"1.2.826.0.1.{seed + 1}"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{uid}.9.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID = f"{uid}.1", f"{uid}.2"
        data.PatientID, data.PatientName, data.Modality = patient, "Roe^Richard", modality
        data.StudyDescription = texts.get("study", "BRAIN")
        data.SeriesDescription = texts.get("series", "T1 axial")
        data.InstanceNumber, data.SeriesNumber, data.StudyDate = k + 1, 2, "20200101"
        data.Rows, data.Columns = values.shape[1], values.shape[0]
        data.PixelSpacing, data.SliceThickness = [3.0, 3.0], 6.0
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-96.0, -108.0, 6.0 * k]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = np.rint(values[:, :, k].T).astype("<u2").tobytes()
        data.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)


def _embedded(box: Box, source: Path, *options: object, studies: int = 1, name: str = "out.h5") -> Outcome:
    """Embed and check that every writer took the texts: the file, run file, page, export and console."""
    from prima_features import read_embeddings

    output = box.folder / name
    ran = box.prima("embed", source, output, *_QUICK, *options)
    if ran.code != 0:
        return Outcome("silently wrong", f"exit code {ran.code}: {ran.text[-200:]}")
    file = read_embeddings(output)
    if file.n_studies != studies:
        return Outcome("silently wrong", f"{file.n_studies} studies, expected {studies}")
    texts = [
        *file.studies["source"],
        *file.studies["description"],
        *file.series["name"],
        *file.series["source"],
    ]
    if not all(text.isprintable() and len(text) <= 4096 for text in texts) or "\x1b" in ran.text:
        return Outcome("silently wrong", "a text is not escaped")
    stem = output.name.removesuffix(".h5")
    json.loads(output.with_name(f"{stem}.run.json").read_bytes().decode())
    page = output.with_name(f"{stem}.report.html").read_bytes().decode()
    if "\x1b" in page or "\0" in page or page.count("</script>") != page.count("<script"):
        return Outcome("silently wrong", "the page holds raw control characters or a tag of a name")
    if (told := box.prima("inspect", output)).code != 0 or "\x1b" in told.text:
        return Outcome("silently wrong", f"inspect: {told.text[-200:]}")
    table = box.folder / "table.csv"
    if (told := box.prima("export", output, table)).code != 0:
        return Outcome("silently wrong", f"export: {told.text[-200:]}")
    cells = [cell for row in csv.reader(table.open(encoding="utf-8")) for cell in row[:5]]
    if any(cell.startswith(("=", "@", "+", "-")) for cell in cells):
        return Outcome("silently wrong", "a cell of the CSV file is a formula")
    return Outcome("right")


_FOLDERS = {
    "bytes of Windows-1252": b"Bj\xf6rk \x80",
    "bytes of Shift-JIS": b"\x93\xaa\x95\x94",
    "a terminal sequence that sets the title": b"a\x1b]0;owned\x07b",
    "a line break and a tab": b"a\nb\tc",
    "a closing script tag": b"<" + b"script>alert(1)<" + b"!--",
    "a formula": b"=cmd|'-C calc'!A0",
    "right-to-left and zero-width marks": "a\u202eb\u200bc".encode(),
    "markup of the console": b"[bold red]x[/] :brain:",
    "240 characters": b"n" * 240,
}


def _folder_situation(content: bytes):
    def situation(box: Box) -> Outcome:
        source = box.folder / "scans"
        _write_nifti(source / os.fsdecode(content) / os.fsdecode(content[:200] + b".nii"))
        return _embedded(box, source)

    return situation


for _title, _content in _FOLDERS.items():
    SITUATIONS(f"folder and file names have {_title}")(_folder_situation(_content))


@SITUATIONS("two folder names differ in case only")
def _case(box: Box) -> Outcome:
    for seed, name in enumerate(("Case", "case")):
        _write_nifti(box.folder / "scans" / name / "t1.nii", seed)
    return _embedded(box, box.folder / "scans", studies=2)


@SITUATIONS("two folder names differ in Unicode normalization only")
def _normal_forms(box: Box) -> Outcome:
    for seed, name in enumerate(("M\u00fcller", "Mu\u0308ller")):
        _write_nifti(box.folder / "scans" / name / "t1.nii", seed)
    return _embedded(box, box.folder / "scans", studies=2)


@SITUATIONS("BIDS labels differ in case only")
def _bids_case(box: Box) -> Outcome:
    for seed, label in enumerate(("Ab", "aB")):
        _write_nifti(box.folder / "bids" / f"sub-{label}" / "anat" / f"sub-{label}_T1w.nii", seed)
    return _embedded(box, box.folder / "bids", "--format", "bids", studies=2)


@SITUATIONS("a series name in a sidecar has 100,000 characters")
def _long_name(box: Box) -> Outcome:
    from prima_features import read_embeddings

    image = _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    image.with_suffix(".json").write_text(json.dumps({"SeriesDescription": "T1 " * 33_333}))
    outcome = _embedded(box, box.folder / "scans")
    flags = read_embeddings(box.folder / "out.h5").series["flags"][0]
    return outcome if "name-cut" in flags else Outcome("silently wrong", f"no flag: {flags}")


@SITUATIONS("a study description has 50,000 characters")
def _long_description(box: Box) -> Outcome:
    _write_nifti(box.folder / "t1.nii")
    rows = [("path", "subject", "description"), ("t1.nii", "a", "history " * 6250)]
    (box.folder / "table.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return named(
        box.prima("embed", "--manifest", box.folder / "table.tsv", box.folder / "out.h5", *_QUICK),
        "longer than 1,024 characters",
        codes=(0,),
    )


@SITUATIONS("DICOM descriptions hold control characters")
def _dicom_texts(box: Box) -> Outcome:
    _write_dicom(box.folder / "scans", "P1", study="A\x1b[2JB", series="T1\x07\x1b[31m")
    return _embedded(box, box.folder / "scans")


@SITUATIONS("a PatientID begins with an equals sign")
def _formula_id(box: Box) -> Outcome:
    from prima_features.embedding.record.ids import read_ids

    _write_dicom(box.folder / "scans", "=2+5", 1)
    outcome = _embedded(box, box.folder / "scans")
    path = box.folder / "out.ids.tsv"
    (row,) = read_ids(path).values()
    if "\t=" in path.read_text() or row[1] != "=2+5":
        return Outcome("silently wrong", "the cell is a formula, or is not read back")
    return outcome


@SITUATIONS("the modality of a DICOM file is a patient's name")
def _modality(box: Box) -> Outcome:
    _write_dicom(box.folder / "scans", "P1", modality="ROE RICHARD")
    ran = box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)
    if "ROE" in ran.text.upper().replace(str(box.folder).upper(), ""):
        return Outcome("silently wrong", "the name is repeated")
    return named(ran, "no DICOM modality code")


@SITUATIONS("a failed run on another source leaves the link to the patients")
def _failed_run(box: Box) -> Outcome:
    output, ids = box.folder / "out.h5", box.folder / "out.ids.tsv"
    _write_dicom(box.folder / "one", "P1", 1)
    _write_dicom(box.folder / "two", "P2", 2)
    for path in (box.folder / "two").iterdir():
        path.write_bytes(path.read_bytes()[:-4000])
    if box.prima("embed", box.folder / "one", output, *_QUICK).code != 0:
        return Outcome("silently wrong", "the first run failed")
    before = ids.read_bytes()
    ran = box.prima("embed", box.folder / "two", output, *_QUICK)
    if ran.code != 4 or ids.read_bytes() != before:
        return Outcome("silently wrong", f"exit code {ran.code}, or the table has changed")
    return Outcome("right")


@SITUATIONS("the key of the pseudonyms is empty")
def _empty_key(box: Box) -> Outcome:
    _write_dicom(box.folder / "scans", "P1")
    box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)
    path = box.folder / "out.ids.tsv"
    path.write_text(
        "".join(line.rpartition("\t")[0] + "\t\n" for line in path.read_text().splitlines()[:1]) + ""
    )
    rows = ["study\tpatient_id\tstudy_instance_uid\tfolder\tkey", "sub-1\tP1\t1.2\t/x\t"]
    path.write_text("\n".join(rows) + "\n")
    return named(box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK), "damaged key")


@SITUATIONS("merged DICOM files keep the link to the patients")
def _merged_ids(box: Box) -> Outcome:
    from prima_features.embedding.record.ids import read_ids

    for seed, name in enumerate(("a", "b")):
        _write_dicom(box.folder / name, f"P{name}", seed)
        box.prima("embed", box.folder / name, box.folder / f"{name}.h5", *_QUICK)
    ran = box.prima("merge", box.folder / "out.h5", box.folder / "a.h5", box.folder / "b.h5")
    patients = sorted(row[1] for row in read_ids(box.folder / "out.ids.tsv").values())
    return (
        Outcome("right") if (ran.code, patients) == (0, ["Pa", "Pb"]) else Outcome("silently wrong", ran.text)
    )


def _unchanged(box: Box, path: Path, *arguments: object) -> Outcome:
    """Whether a command refuses and leaves a file as it was."""
    before = path.read_bytes()
    ran = box.prima(*arguments)
    if path.read_bytes() != before:
        return Outcome("silently wrong", f"{path.name} was overwritten (exit code {ran.code})")
    return named(ran, "name another output", "choose another output", "move it", codes=(2,))


def _file(box: Box) -> Path:
    """A small embeddings file."""
    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    box.prima("embed", box.folder / "scans", box.folder / "e.h5", *_QUICK)
    return box.folder / "e.h5"


@SITUATIONS("export to its own source through a hard link")
def _export_hard_link(box: Box) -> Outcome:
    file = _file(box)
    os.link(file, box.folder / "e.csv")
    return _unchanged(box, file, "export", file, box.folder / "e.csv", "--overwrite")


@SITUATIONS("export to its own source through a linked folder")
def _export_link(box: Box) -> Outcome:
    file = _file(box)
    (box.folder / "link").symlink_to(box.folder)
    return _unchanged(box, file, "export", file, box.folder / "link" / "e.h5", "--format", "csv", "--force")


@SITUATIONS("a report over a table of the user")
def _report_over(box: Box) -> Outcome:
    file, table = _file(box), box.folder / "participants.tsv"
    table.write_text("participant_id\tage\nsub-a\t50\n")
    return _unchanged(box, table, "report", file, "--output", table)


@SITUATIONS("embed next to a page that another program made")
def _foreign_page(box: Box) -> Outcome:
    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    page = box.folder / "out.report.html"
    page.write_text("<html>mine</html>")
    return _unchanged(box, page, "embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)


@SITUATIONS("embed with a folder of the user in the place of its parts")
def _foreign_parts(box: Box) -> Outcome:
    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    note = box.folder / "out.h5.parts" / "note.txt"
    note.parent.mkdir()
    note.write_text("mine")
    return _unchanged(box, note, "embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)


@SITUATIONS("summaries over the table of reports")
def _summaries_over(box: Box) -> Outcome:
    table = box.folder / "reports.tsv"
    table.write_text("study_id\tsummary\tmethod\na\tNo acute infarct.\tx\n")
    return _unchanged(
        box, table, "reports", "summarize", table, table, "--report-column", "summary", "--force"
    )


@SITUATIONS("a synthetic cohort into a folder that holds scans")
def _synth_over(box: Box) -> Outcome:
    image = _write_nifti(box.folder / "scans" / "t1.nii")
    before = image.read_bytes()
    ran = box.prima("synth", box.folder / "scans", "--subjects", 1)
    return named(ran, "not an empty folder") if image.read_bytes() == before else Outcome("silently wrong")


@SITUATIONS("a part under the name of another study")
def _renamed_part(box: Box) -> Outcome:
    from prima_features import read_embeddings

    for seed, name in enumerate(("a", "b")):
        _write_nifti(box.folder / "scans" / name / "t1.nii", seed)
    output, parts = box.folder / "out.h5", box.folder / "out.h5.parts"
    for shard in ("1/2", "2/2"):
        box.prima("embed", box.folder / "scans", output, *_QUICK, "--shard", shard)
    shutil.copy(parts / "sub-a.safetensors", parts / "sub-b.safetensors")
    ran = box.prima("merge", output)
    if output.exists() and read_embeddings(output).n_studies != 2:
        return Outcome("silently wrong", "a study is lost")
    return named(ran, "are not finished")


@SITUATIONS("a scan changes between its shard and the merge")
def _changed_scan(box: Box) -> Outcome:
    for seed, name in enumerate(("a", "b")):
        _write_nifti(box.folder / "scans" / name / "t1.nii", seed)
    output = box.folder / "out.h5"
    for shard in ("1/2", "2/2"):
        box.prima("embed", box.folder / "scans", output, *_QUICK, "--shard", shard)
    image = _write_nifti(box.folder / "scans" / "b" / "t1.nii", 7)
    os.utime(image, (1, 1))
    return named(box.prima("merge", output), "are not finished")


@SITUATIONS("two shards saw different sources")
def _different_sources(box: Box) -> Outcome:
    for seed, name in enumerate(("a", "b", "c")):
        _write_nifti(box.folder / "scans" / name / "t1.nii", seed)
    output = box.folder / "out.h5"
    box.prima("embed", box.folder / "scans", output, *_QUICK, "--shard", "1/2")
    shutil.move(box.folder / "scans" / "b", box.folder / "away")
    for shard in ("1/2", "2/2"):
        box.prima("embed", box.folder / "scans", output, *_QUICK, "--shard", shard)
    return named(box.prima("merge", output), "not in the plan")


@SITUATIONS("an unset variable in the place of the source")
def _empty_source(box: Box) -> Outcome:
    return named(box.prima("embed", "", box.folder / "out.h5", *_QUICK), "is empty", codes=(2,))


@SITUATIONS("export over the link to the patients")
def _export_over_ids(box: Box) -> Outcome:
    _write_dicom(box.folder / "scans", "P1")
    box.prima("embed", box.folder / "scans", box.folder / "e.h5", *_QUICK)
    arguments = (box.folder / "e.h5", box.folder / "e.ids.tsv", "--format", "csv", "--force")
    return _unchanged(box, box.folder / "e.ids.tsv", "export", *arguments)


@SITUATIONS("the user's models in the place of the parts")
def _models_as_parts(box: Box) -> Outcome:
    from safetensors.numpy import save_file

    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    model = box.folder / "out.h5.parts" / "model.safetensors"
    model.parent.mkdir()
    save_file({"weight": np.ones(3)}, model)
    return _unchanged(box, model, "embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)


def _program(box: Box, shell: str) -> subprocess.CompletedProcess[bytes]:
    """Run `prima inspect` and a shell's redirections in a process of its own."""
    source = _write_nifti(box.folder / "scans" / "M\u00fcller" / "t1.nii").parent.parent
    line = f'"{sys.executable}" -m prima_features.cli.main inspect "{source}" {shell}'
    return subprocess.run(["bash", "-c", line], capture_output=True, check=False)


@SITUATIONS("standard output and error are closed")
def _closed(box: Box) -> Outcome:
    done = _program(box, ">&- 2>&-")
    return Outcome("right") if done.returncode == 0 else Outcome("silently wrong", str(done))


@SITUATIONS("the locale is ASCII")
def _ascii(box: Box) -> Outcome:
    os.environ |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    try:
        done = _program(box, "")
    finally:
        for name in ("LC_ALL", "PYTHONIOENCODING", "PYTHONUTF8"):
            os.environ.pop(name, None)
    sound = done.returncode == 0 and done.stdout.isascii() and b"\\xc3\\xbc" in done.stdout
    return Outcome("right") if sound else Outcome("silently wrong", str(done))


@SITUATIONS("the reader of a pipe ends at once")
def _broken_pipe(box: Box) -> Outcome:
    done = _program(box, "| true; exit ${PIPESTATUS[0]}")
    sound = done.returncode == 0 and not done.stderr
    return Outcome("right") if sound else Outcome("silently wrong", str(done))


@SITUATIONS("standard output is a full disk")
def _full(box: Box) -> Outcome:
    done = _program(box, "> /dev/full")
    if done.returncode == 1 and b"could not be printed" in done.stderr:
        return Outcome("named", "exit code 1")
    return Outcome("silently wrong", str(done))


def _cohort(box: Box, studies: int = 40) -> tuple[Path, Path, Path]:
    """Embeddings of a linear trait, the cohort's table, and a probe that was fitted on both."""
    from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
    from prima_features.embedding.file.write import Provenance, write_embeddings

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(studies, 6)).astype(np.float32)
    ids = [f"sub-{i:02d}" for i in range(studies)]
    series = EmbeddedSeries("t1", "axial", "", 1, (9, 9, 9), (1.0, 1.0, 1.0), vectors[0])
    rows = [
        EmbeddedStudy(one, one[4:], "", "", "", vector, vector, (series,), input_hash="a:b")
        for one, vector in zip(ids, vectors, strict=True)
    ]
    file, table, probe = (box.folder / name for name in ("e.h5", "participants.tsv", "probe"))
    write_embeddings(file, rows, Provenance("tiny", "local", "ab12", {}))
    ages = 50 + 10 * vectors[:, 0]
    lines = ["participant_id\tage", *(f"{one}\t{age:.1f}" for one, age in zip(ids, ages, strict=True))]
    table.write_text("\n".join(lines) + "\n")
    ran = box.prima(
        *("probe", "fit", "brain-age", file, "--labels", table, "--output", probe, "--bootstrap", 10),
        *("--folds", 3, "--inner-folds", 2, "--no-learning-curve"),
    )
    if not probe.is_dir():
        raise RuntimeError(ran.text)
    return file, table, probe


@SITUATIONS("predictions over the cohort's table, its embeddings, or a file of the probe")
def _predictions_over(box: Box) -> Outcome:
    import pandas as pd

    file, table, probe = _cohort(box)
    os.link(table, box.folder / "other.tsv")
    book = box.folder / "labels.xlsx"
    pd.read_csv(table, sep="\t").to_excel(book, sheet_name="S", index=False)
    tries = (
        (book, ("--labels", f"{book}#S", "--force")),
        (table, ()),
        (file, ("--force",)),
        (table, ("--labels", table, "--force")),
        (box.folder / "other.tsv", ("--labels", table, "--force")),
        (probe / "predictions.tsv", ()),
        (probe / "metrics.json", ("--force",)),
    )
    for output, options in tries:
        outcome = _unchanged(box, output, "probe", "predict", probe, file, output, *options)
        if outcome.verdict == "silently wrong":
            return outcome
    for _ in range(2):  # its own output is replaced
        if (ran := box.prima("probe", "predict", probe, file, box.folder / "new.tsv")).code != 0:
            return Outcome("silently wrong", ran.text[-200:])
    return outcome


@SITUATIONS("a probe over the folder that holds its labels")
def _probe_over(box: Box) -> Outcome:
    file, table, _ = _cohort(box)
    folder = box.folder / "study"
    folder.mkdir()
    shutil.move(table, folder / "table.tsv")
    arguments = ("--labels", folder / "table.tsv", "--output", folder, "--overwrite")
    return _unchanged(box, folder / "table.tsv", "probe", "fit", "brain-age", file, *arguments)


@SITUATIONS("an evaluation over its own probe")
def _evaluation_over(box: Box) -> Outcome:
    file, table, probe = _cohort(box)
    arguments = ("--labels", table, "--output", probe, "--overwrite")
    return _unchanged(box, probe / "probe.json", "probe", "evaluate", probe, file, *arguments)


def _latin(box: Box) -> Path:
    """A folder whose name is not UTF-8."""
    folder = Path(os.fsdecode(os.fsencode(box.folder) + b"/M\xfcller"))
    folder.mkdir()
    return folder


@SITUATIONS("the model and all outputs lie in a folder whose name is not UTF-8")
def _everything_latin(box: Box) -> Outcome:
    import prima_features

    folder = _latin(box)
    _write_nifti(folder / "scans" / "a" / "t1.nii")
    bundled = Path(prima_features.__file__).parent / "models" / "bundled" / "prima-untrained"
    shutil.copytree(bundled, folder / "model")
    output = folder / "out.h5"
    commands: list[tuple[object, ...]] = [
        ("embed", folder / "scans", output, "--model", folder / "model", "--workers", 0),
        ("weights", "verify", folder / "model"),
        ("report", output),
        ("merge", folder / "merged.h5", output),
        *(("export", output, folder / f"table.{ending}") for ending in ("csv", "parquet", "npz")),
    ]
    for command in commands:
        if (ran := box.prima(*command)).code != 0:
            return Outcome("silently wrong", f"{command[0]}: {ran.text[-200:]}")
    return Outcome("right")


@SITUATIONS("NRRD images in a folder whose name is not UTF-8")
def _nrrd_latin(box: Box) -> Outcome:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.rint(head(64, 72, 16)).astype(np.int16).transpose(2, 1, 0))
    image.SetSpacing((3.0, 3.0, 6.0))
    for name in ("t1.nrrd", "t2.nhdr"):
        sitk.WriteImage(image, str(box.folder / name))
    folder = _latin(box)
    for name in ("t1.nrrd", "t2.nhdr", "t2.raw"):
        (box.folder / name).rename(folder / name)
    ran = box.prima("inspect", folder)
    sound = ran.code == 0 and "cannot be read" not in ran.text
    return Outcome("right") if sound else Outcome("silently wrong", ran.text[-200:])


@SITUATIONS("paths of a manifest are too long, or name an unknown user")
def _impossible_rows(box: Box) -> Outcome:
    _write_nifti(box.folder / "t1.nii")
    paths = ("t1.nii", "x" * 300, "y" * 5000 + "/t1.nii", "~nobody-of-this-name/t1.nii")
    rows = ["path\tsubject", *(f"{path}\ts{i}" for i, path in enumerate(paths))]
    (box.folder / "table.tsv").write_text("\n".join(rows) + "\n")
    ran = box.prima("embed", "--manifest", box.folder / "table.tsv", box.folder / "out.h5", *_QUICK)
    return named(ran, "problems in 3 studies", codes=(3,))


@SITUATIONS("the disk can store the name of the output, but not those of the files next to it")
def _long_output(box: Box) -> Outcome:
    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    return named(
        box.prima("embed", box.folder / "scans", box.folder / ("n" * 250 + ".h5"), *_QUICK),
        "choose a shorter one",
        codes=(2,),
    )


@SITUATIONS("anonymised patients share PatientID and StudyInstanceUID, and the run is repeated")
def _resumed_anonymous(box: Box) -> Outcome:
    from pydicom import dcmread

    from prima_features import read_embeddings

    for number, (name, date) in enumerate(
        (("A", "20200101"), ("A", "20210101"), ("B", "20200101"), ("B", "20210101"))
    ):
        folder = box.folder / "scans" / str(number)
        _write_dicom(folder, "ANONYMOUS", number)
        for path in folder.iterdir():
            data = dcmread(path)
            data.StudyInstanceUID, data.PatientName, data.StudyDate = "1.2.3", f"Roe^{name}", date
            data.save_as(path)
    ids = []
    for _ in range(2):
        if (ran := box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)).code != 0:
            return Outcome("silently wrong", ran.text[-200:])
        ids.append(set(read_embeddings(box.folder / "out.h5").studies["id"]))
    return Outcome("right") if ids[0] == ids[1] and len(ids[0]) == 4 else Outcome("silently wrong", str(ids))


@SITUATIONS("PatientID and StudyInstanceUID hold control characters, and the run is repeated")
def _resumed_odd(box: Box) -> Outcome:
    from pydicom import config, dcmread

    _write_dicom(box.folder / "scans", "P")
    with config.disable_value_validation():
        for path in (box.folder / "scans").iterdir():
            data = dcmread(path)
            data.PatientID, data.StudyInstanceUID = "A\0B\nC", "1.2\n.3\x1b"
            data.save_as(path)
    codes = [box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK).code for _ in range(2)]
    return Outcome("right") if codes == [0, 0] else Outcome("silently wrong", str(codes))


@SITUATIONS("shards of a DICOM source ran with different keys")
def _different_keys(box: Box) -> Outcome:
    for number in range(2):
        _write_dicom(box.folder / "scans" / str(number), f"P{number}", number)
    parts = []
    for shard in ("1", "2"):
        (box.folder / shard).mkdir()
        output = box.folder / shard / "out.h5"
        box.prima("embed", box.folder / "scans", output, *_QUICK, "--shard", f"{shard}/2")
        parts.append(f"{output}.parts")
    return named(box.prima("merge", box.folder / "out.h5", *parts), "with different keys", codes=(2,))


@SITUATIONS("a training run into the user's project folder")
def _pretrain_over(box: Box) -> Outcome:
    _write_nifti(box.folder / "scans" / "a" / "t1.nii")
    project = box.folder / "project"
    (project / "training" / "text").mkdir(parents=True)
    for name in ("README.md", "training/text/report.txt"):
        (project / name).write_text("mine")
    (box.folder / "t.toml").write_text(
        'output = "project"\nmodel = "prima-untrained"\n[data]\nsource = "scans"\n'
    )
    for name in ("README.md", "training/text/report.txt"):
        outcome = _unchanged(box, project / name, "pretrain", "tokenizer", box.folder / "t.toml", "--fresh")
        if outcome.verdict == "silently wrong":
            return outcome
        (project / "README.md").unlink(missing_ok=True)
    return outcome


@SITUATIONS("export over the link to the patients, which a spreadsheet has saved")
def _export_over_saved_ids(box: Box) -> Outcome:
    file, ids = _file(box), box.folder / "any.csv"
    ids.write_text(
        "study;patient_id;study_instance_uid;folder;key\r\nsub-1;P;1.2;/x;ab\r\n", encoding="utf-8-sig"
    )
    return _unchanged(box, ids, "export", file, ids, "--force")


@SITUATIONS("the exit codes of inspect and of embed on a source with an empty file")
def _inspect_code(box: Box) -> Outcome:
    (_write_nifti(box.folder / "scans" / "a" / "t1.nii").parent / "t2.nii").touch()
    codes = [
        box.prima("inspect", box.folder / "scans").code,
        box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK, "--dry-run").code,
        box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK).code,
    ]
    return Outcome("named", "exit code 3") if codes == [3, 3, 3] else Outcome("silently wrong", str(codes))


@SITUATIONS("no label of a BIDS dataset is allowed by BIDS")
def _bad_labels(box: Box) -> Outcome:
    _write_nifti(box.folder / "bids" / "sub-M\u00fc" / "anat" / "sub-M\u00fc_T1w.nii")
    return named(box.prima("inspect", box.folder / "bids"), "sub-M\u00fc", codes=(4,))


@SITUATIONS("a BIDS App writes into the folder of a participant")
def _app_in_participant(box: Box) -> Outcome:
    image = _write_nifti(box.folder / "bids" / "sub-01" / "anat" / "sub-01_T1w.nii")
    ran = box.prima(box.folder / "bids", image.parent, "participant", *_QUICK)
    return named(ran, "a participant of the dataset", codes=(2,))


@SITUATIONS("a PatientID is written in composed and in decomposed characters")
def _patient_normal_forms(box: Box) -> Outcome:
    from pydicom import dcmread

    from prima_features import read_embeddings

    for number, name in enumerate(("M\u00fc", "Mu\u0308")):
        folder = box.folder / "scans" / str(number)
        _write_dicom(folder, "P", number)
        for path in folder.iterdir():
            data = dcmread(path)
            data.SpecificCharacterSet, data.PatientID = "ISO_IR 192", name
            data.save_as(path)
    box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)
    subjects = set(read_embeddings(box.folder / "out.h5").studies["subject"])
    return Outcome("right") if len(subjects) == 1 else Outcome("silently wrong", str(subjects))


@SITUATIONS("a series of DICOM files is compressed by gzip")
def _gzipped(box: Box) -> Outcome:
    for number in range(2):
        _write_dicom(box.folder / "scans" / str(number), f"P{number}", number)
    for path in (box.folder / "scans" / "1").iterdir():
        path.with_suffix(".dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    ran = box.prima("embed", box.folder / "scans", box.folder / "out.h5", *_QUICK)
    return named(ran, "16 gzip-compressed DICOM files", codes=(3,))
