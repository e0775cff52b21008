"""The truth behind tokens agrees with the images that the tokens are cut from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.synthetic import Acquisition, build_anatomy, draw_subject, measure, render_series
from prima_features.synthetic.acquisition import Plane
from prima_features.synthetic.anatomy import Anatomy
from prima_features.synthetic.subject import Subject
from prima_features.synthetic.truth import CONTENT, TRAITS, content, traits

SCAN = Acquisition(
    "T2w", "axial", "", "", (160, 192), (1.4, 1.3), 2.5, 0.5, 61, 4800, 96,
    bias=0, noise=0.001, contrast_jitter=0, head_tilt=(8.0, -3.0, 5.0), angulation=(4.0, 2.0, -3.0),
    centre=(4.0, -3.0, 5.0),
)  # fmt: skip
SHAPES: dict[Plane, dict] = {
    "axial": {},
    "coronal": {"n_slices": 70},
    "sagittal": {"n_slices": 59, "matrix": (192, 160)},
}
EVERY = replace(Preprocessing(), start_percent=0, min_kept=-1)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return replace(draw_subject(3, 0, condition="glioma"), incidental=())


@pytest.fixture(scope="module")
def anatomy(subject: Subject) -> Anatomy:
    return build_anatomy(subject)


def looked_at(
    subject: Subject, anatomy: Anatomy, scan: Acquisition
) -> tuple[np.ndarray, torch.Tensor, float]:
    """Mean value of each token, what is in it, and its volume in ml."""

    def render() -> tuple[np.ndarray, np.ndarray]:
        made = render_series(anatomy, scan)
        return made.volume, made.affine

    tokens = cut(RenderedSeries("", "", render).volume(EVERY), EVERY)
    means = tokens.values[tokens.row].mean((1, 2, 3))
    size = tokens.values.shape[1:]
    voxel = scan.spacing[0] * scan.matrix[0] * scan.spacing[1] * scan.matrix[1] / EVERY.matrix**2
    ml = float(np.prod(size)) * voxel * scan.slice_distance / 1000
    return means, content(anatomy, scan, tokens.coord, size, EVERY.matrix), ml


@pytest.mark.parametrize("plane", SHAPES)
def test_shares_explain_the_brightness_of_tokens_and_add_up_to_volumes(
    plane: Plane, subject: Subject, anatomy: Anatomy
) -> None:
    scan = replace(SCAN, plane=plane, **SHAPES[plane])
    means, shares, ml = looked_at(subject, anatomy, scan)
    assert shares.shape == (len(means), len(CONTENT))
    assert shares.min() >= 0 and shares.max() <= 1

    brain = (shares[:, CONTENT.index("left brain")] + shares[:, CONTENT.index("right brain")]).numpy()
    deep = brain > 0.5  # where little of scalp and skull, which no share tells of, is in a token
    known = np.c_[shares[deep], np.ones(deep.sum())]
    fitted = known @ np.linalg.lstsq(known, means[deep], rcond=None)[0]
    assert np.corrcoef(fitted, means[deep])[0, 1] > 0.97

    truth = measure(anatomy)
    ventricles = ("lateral ventricle", "temporal horn", "third and fourth ventricle")
    found = sum(float(shares[:, CONTENT.index(name)].sum()) for name in ventricles) * ml
    assert brain.sum() * ml == pytest.approx(truth["brain_ml"], rel=0.05)
    assert found == pytest.approx(truth["ventricle_ml"], rel=0.25)
    lesion = shares[:, CONTENT.index("hyperintensity") + 1 :].sum() * ml
    assert float(lesion) == pytest.approx(truth["lesion_ml"] + truth["oedema_ml"], rel=0.1)


def test_traits_tell_subjects_apart(subject: Subject, anatomy: Anatomy) -> None:
    told = dict(zip(TRAITS, traits(subject, anatomy, measure(anatomy)).tolist(), strict=True))
    assert told["age"] == pytest.approx(subject.age)
    truth = measure(anatomy)
    cells = [np.exp(value) - 0.1 for name, value in told.items() if "cell" in name]
    assert 0.5 * truth["lesion_ml"] < sum(cells) < 1.5 * truth["lesion_ml"]
    (lesion,) = subject.lesions
    largest = max((name for name in told if "cell" in name), key=lambda name: told[name])
    side = int(largest.split()[4])
    assert (side < 2) == (lesion.centre[0] < 0)
