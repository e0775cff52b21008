"""Images show what the anatomy holds, where it lies, in the contrast asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prima_features.synthetic import Acquisition, Subject, build_anatomy, draw_acquisitions, render_series
from prima_features.synthetic.acquisition import head_affine
from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.lesions.records import Lesion
from prima_features.synthetic.lesions.vascular import infarct
from prima_features.synthetic.render import Rendered, _means_along

SUBJECT = Subject(seed=1, index=0, age=40, sex="F", site="general", ventricle_ratio=3.0)
CLEAN = Acquisition(
    "T1w", "axial", "", "", (96, 96), (2.4, 2.4), 4, 0, 38, 2100, 3, ti=1020, three_d=True,
    bias=0, noise=0.001, contrast_jitter=0,
)  # fmt: skip
SETTINGS = {
    "T1w": CLEAN,
    "T2w": replace(CLEAN, sequence="T2w", tr=4800, te=96, ti=0, three_d=False),
    "FLAIR": replace(CLEAN, sequence="FLAIR", tr=9000, te=112, ti=2460, three_d=False),
    "DWI": replace(CLEAN, sequence="DWI", tr=6000, te=80, ti=0, b_value=1000, three_d=False),
    "ADC": replace(CLEAN, sequence="ADC", tr=6000, te=80, ti=0, b_value=1000, three_d=False),
}


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return build_anatomy(SUBJECT)


def values_at(rendered: Rendered, anatomy: Anatomy, mask: torch.Tensor) -> np.ndarray:
    """Values at the voxels nearest to where a mask of the anatomy is set."""
    scan = rendered.scan
    head = head_affine(scan, anatomy.scale, anatomy.spacing, anatomy.origin)
    points = np.c_[mask.nonzero().numpy(), np.ones(int(mask.sum()))]
    index = np.round(points @ (np.linalg.inv(rendered.affine) @ head).T)[:, :3].astype(int)
    index = index[((index >= 0) & (index < rendered.volume.shape)).all(1)]
    return rendered.volume[tuple(index.T)]


def middle_of(mask: torch.Tensor) -> torch.Tensor:
    """What lies two voxels or more inside, where thick slices hold nothing else."""
    return F.avg_pool3d(mask[None, None].float(), 5, 1, 2)[0, 0] > 0.99


def tissues(rendered: Rendered, anatomy: Anatomy) -> tuple[float, float, float]:
    """Medians in fluid, cortex and white matter."""
    brain = anatomy.label == Region.CEREBRUM
    masks = (
        middle_of(anatomy.label == Region.LATERAL_VENTRICLE),
        brain & ((anatomy.tone - 1).abs() < 0.03),
        middle_of(brain & (anatomy.tone > 1.8)),
    )
    fluid, grey, white = (float(np.median(values_at(rendered, anatomy, mask))) for mask in masks)
    return fluid, grey, white


def test_each_sequence_has_its_contrast(anatomy: Anatomy) -> None:
    shown = {name: tissues(render_series(anatomy, scan), anatomy) for name, scan in SETTINGS.items()}
    fluid, grey, white = shown["T1w"]
    assert fluid < 0.5 * grey and grey < 0.85 * white
    fluid, grey, white = shown["T2w"]
    assert white < grey < 0.6 * fluid
    fluid, grey, white = shown["FLAIR"]
    assert fluid < 0.5 * white and white < grey
    assert shown["DWI"][0] < 0.6 * shown["DWI"][2]
    assert shown["ADC"][0] > 2000 and 600 < shown["ADC"][2] < 1100


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("tilt", [(0, 0, 0), (12, -7, 9)])
def test_every_plane_and_tilt_shows_the_same_places(
    anatomy: Anatomy, plane: str, tilt: tuple[float, float, float]
) -> None:
    scan = replace(CLEAN, plane=plane, n_slices=48, head_tilt=tilt, angulation=(3, 2, -5))
    fluid, grey, white = tissues(render_series(anatomy, scan), anatomy)
    assert fluid < 0.6 * grey and grey < 0.9 * white


def test_an_acute_infarct_is_bright_in_diffusion_and_dark_in_adc() -> None:
    layers, growth = infarct(2.0)
    lesion = Lesion("stroke", (40, -10, 22), (16, 22, 16), layers, growth, place="territory")
    struck = build_anatomy(replace(SUBJECT, lesions=(lesion,)))
    part = next(part for part in struck.painted if part.lesion == 0)
    mask = torch.zeros_like(struck.tone, dtype=torch.bool)
    mask[part.box] = part.share > 0.95
    shown = {name: render_series(struck, SETTINGS[name]) for name in ("DWI", "ADC")}
    inside = {name: np.median(values_at(one, struck, mask)) for name, one in shown.items()}
    white = {name: tissues(one, struck)[2] for name, one in shown.items()}
    assert inside["DWI"] > 1.5 * white["DWI"]
    assert inside["ADC"] < 0.75 * white["ADC"]


def test_means_along_an_axis_are_those_of_the_voxels_and_parts_of_voxels() -> None:
    line = torch.arange(20.0).square().view(1, 20, 1).expand(2, 20, 3)
    means = _means_along(line, 1, 4.0)
    # From half a voxel before 8 to half a voxel after 12, of which the outer two count by half.
    expected = (0.5 * 8**2 + 9**2 + 10**2 + 11**2 + 0.5 * 12**2) / 4
    assert means.shape == line.shape
    assert float(means[0, 10, 0]) == pytest.approx(expected)
    assert torch.allclose(_means_along(torch.ones(4, 20, 4), 1, 3.3)[:, 5:-5], torch.ones(4, 10, 4))


def test_noise_and_receive_field_come_from_the_acquisition_alone(anatomy: Anatomy) -> None:
    scan = replace(CLEAN, noise=0.05, bias=0.3, seed=3)
    first, again, other = (render_series(anatomy, s).volume for s in (scan, scan, replace(scan, seed=4)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="settings must be one of usual, varied, wide, not 'odd'"):
        draw_acquisitions(1, 0, "university", settings="odd")
    with pytest.raises(ValueError, match="site must be one of university"):
        draw_acquisitions(1, 0, "nowhere")
    with pytest.raises(ValueError, match="sequence must be one of"):
        replace(CLEAN, sequence="CT")
    with pytest.raises(ValueError, match="at least 2 x 2 x 2"):
        replace(CLEAN, n_slices=1)
    with pytest.raises(ValueError, match="above 0 mm"):
        replace(CLEAN, thickness=0)
