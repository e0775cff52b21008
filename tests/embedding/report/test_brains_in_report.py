"""The page of an encoder that uses brain masks: counts by source, what is out of bounds, and the contact sheet."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import Page, browser

from prima_features.anatomy.quality import MISPLACED, NO_BRAIN, TOO_LARGE
from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.report import tables, write_report
from prima_features.embedding.report.brains import look_at_brains
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.encoders.base import BrainRecord, Picture
from prima_features.encoders.picture import draw_slice

PROVENANCE = Provenance("brainiac", "1", "ab12", {}, encoder="brainiac", uses_anatomy=True)
IDENTITY = tuple(np.eye(4).ravel().tolist())
SOUND = BrainRecord("fMRIPrep", 1.4, "fMRIPrep", IDENTITY, 1.0, 0.95)
BRAINS = {
    1: (SOUND, replace(SOUND, mask_from="</script><img src=x>")),
    2: (replace(SOUND, litres=2.6), BrainRecord()),
    3: (BrainRecord("SynthStrip", 1.2), replace(SOUND, dice=0.85, scale=0.5)),
    4: (replace(SOUND, litres=0.8, dice=0.9, scale=0.9),),
}


def picture() -> Picture:
    y, x = np.ogrid[-1:1:96j, -1:1:96j]
    drawn = draw_slice((500 * (y**2 + x**2 < 0.6)).astype(np.float32), (2.0, 2.0))
    return replace(drawn, outline="M10,10L80,10L80,80L10,80Z")


def studies() -> list[EmbeddedStudy]:
    drawn, made = picture(), []
    for number, brains in BRAINS.items():
        series = tuple(
            EmbeddedSeries(
                *(f"T{i}w", "axial", "", 3, (96, 96, 96), (2.0, 2.0, 2.0), np.ones(4, np.float32)),
                brain=brain,
                picture=drawn,
            )
            for i, brain in enumerate(brains)
        )
        vector = np.random.default_rng(number).normal(size=4).astype(np.float32)
        texts = (f"sub-{number}", f"{number}", "", "MRI", "")
        made.append(EmbeddedStudy(*texts, vector, None, series, input_hash=f"s:{number}"))
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "out.h5"
    provenance = replace(PROVENANCE, widths={"study": 4, "series": 4, "clip": None, "token": None})
    write_embeddings(path, studies(), provenance)
    parts = PartsFolder.of(path)
    parts.create()
    for one in studies():
        parts.save(one)
    return path


def test_sources_and_what_is_out_of_bounds_are_counted(output: Path) -> None:
    found = look_at_brains(Embeddings(output))
    assert found is not None
    assert found.is_out.tolist() == [False, False, True, False, False, True, False]
    assert found.studies.tolist() == [1, 2]
    masks, transforms, out = found.sentences
    assert masks == "Brain masks: fMRIPrep (4), </script><img src=x> (1), SynthStrip (1), none (1)."
    assert transforms == "Transforms to MNI152: fMRIPrep (5), none (2)."
    assert out.startswith(
        "2 series of 7 are out of bounds or have a doubtful mask: the volume of the brain is not from 0.8 to 2.2 "
        "litres (1), "
    )
    assert "the scale is not from 0.9 to 1.4 (1)" in out
    assert "the Dice coefficient with the template is below 0.9 (1)" in out


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (MISPLACED, "the mask fits the scan better elsewhere (1)"),
        (TOO_LARGE, "the mask seems to include the skull (1)"),
        (NO_BRAIN, "the voxels in the mask are constant or noise (1)"),
    ],
)
def test_masks_that_do_not_fit_are_counted_and_shown_first(flag: str, said: str, tmp_path: Path) -> None:
    first, *rest = studies()
    series = (replace(first.series[0], flags=("defaced", flag)), *first.series[1:])
    widths = {"study": 4, "series": 4, "clip": None, "token": None}
    write_embeddings(
        tmp_path / "out.h5", [replace(first, series=series), *rest], replace(PROVENANCE, widths=widths)
    )
    found = look_at_brains(Embeddings(tmp_path / "out.h5"))
    assert found is not None
    assert found.is_out[0] and found.studies.tolist() == [0, 1, 2] and said in found.sentences[2]


def test_files_of_other_encoders_have_no_such_section(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    widths = {"study": 4, "series": 4, "clip": None, "token": None}
    write_embeddings(path, studies(), replace(PROVENANCE, uses_anatomy=False, widths=widths))
    text = write_report(path).read_text()
    assert look_at_brains(Embeddings(path)) is None
    assert "Brain masks and registration" not in text and '"mask_from"' not in text


def test_studies_out_of_bounds_are_shown_first(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_STUDIES", 2)
    text = write_report(output, [PartsFolder.of(output).folder]).read_text()
    start = text.index('id="pictures">') + len('id="pictures">')
    assert set(json.loads(text[start : text.index("</script>", start)])) == {"sub-2", "sub-3"}
    assert "studies out of bounds, outliers" in " ".join(text.split())


def test_numbers_out_of_bounds_are_known_before_they_are_rounded() -> None:
    values = np.array([0.7999, 0.8, np.float32(2.2), 2.2001, math.nan], np.float32)
    column = tables.Column("brain_litres", "Brain", "number", values, 2, (0.8, 2.2)).as_json()
    assert column["out"] == [0, 3] and column["values"] == [0.8, 0.8, 2.2, 2.2, None]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_the_page_marks_them_and_shows_the_outlines(page: Page, output: Path) -> None:
    path = write_report(output, [PartsFolder.of(output).folder])
    page.open(path)
    assert not page.complaints and page.run("document.querySelectorAll('img').length") == 0
    titles = page.run("[...document.querySelectorAll('h2')].map(one => one.textContent)")
    assert "Brain masks and registration" in titles
    marked = "[...document.querySelectorAll('[data-table=\"series\"] td.out')].map(one => one.textContent)"
    assert page.run(marked) == ["2.60", "0.50", "0.850"]
    captions = page.run("[...document.querySelectorAll('#gallery figcaption')].map(one => one.textContent)")
    assert captions[0] == "T0w, axial, mask from fMRIPrep, 1.40 litres, 1.00 scale, 0.950 Dice"
    assert captions[2:4] == [
        "T0w, axial, mask from fMRIPrep, 2.60 litres (!), 1.00 scale, 0.950 Dice",
        "T1w, axial, no mask",
    ]
    assert page.run("document.querySelectorAll('#gallery svg path').length") == 7
    page.run("(() => { const only = document.querySelector('#gallery select'); only.value = 'out of bounds';"
             " only.dispatchEvent(new Event('change')); })()")  # fmt: skip
    names = page.run("[...document.querySelectorAll('.card h3 button')].map(one => one.textContent)")
    assert names == ["sub-2", "sub-3"]
