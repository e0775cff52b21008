"""The default model, which has learnt from synthetic brains: small, quick, and old brains differ from young ones."""

import numpy as np
import torch

from prima_features import model_cards
from prima_features.encoders.prima import PrimaModel, load_text
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.encoders.ragged import Ragged
from prima_features.models import DEFAULT_MODEL, bundled
from prima_features.pretraining.batches.studies import UNKNOWN_NAME
from prima_features.pretraining.data.reports import ReportVocabulary
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.synthetic import build_anatomy, draw_acquisitions, draw_subject, render_series

NAME = "prima-synth"


def test_it_is_the_default_and_small() -> None:
    assert DEFAULT_MODEL == NAME
    assert sum(file.stat().st_size for file in bundled.path(NAME).iterdir()) < 15_000_000
    assert (bundled.path(NAME) / "README.md").read_text() == model_cards.card(NAME)


def test_its_card_says_first_of_all_what_it_is_not_for() -> None:
    first = model_cards.card(NAME).split("---\n")[2].splitlines()[0]
    assert "synthetic brains only" in first
    assert "not for" in first.lower()


def test_its_text_tower_gives_vectors_that_compare_with_studies() -> None:
    config = PrimaModel.from_pretrained(NAME).config
    assert config.text is not None
    vocabulary = ReportVocabulary.read(bundled.path(NAME), config.text.max_tokens)
    with torch.inference_mode():
        told = load_text(bundled.path(NAME))(
            *vocabulary.batch([["Mild cerebral atrophy."], ["Normal brain."]])
        )
    assert told.shape == (2, config.study.out_dim)
    torch.testing.assert_close(told.norm(dim=1), torch.ones(2))
    assert (told[0] @ told[1]).item() < 0.95


def test_old_brains_are_told_from_young_ones() -> None:
    """Nearest mean, each left out in turn: one T1w each, without its name, of 11 subjects below 30 and 9 above 75.

    Three of each are three-dimensional; thick slices, which are quicker to make, are more.
    """
    model = PrimaModel.from_pretrained(NAME)
    missing = {(False, False): 8, (False, True): 3, (True, False): 6, (True, True): 3}
    vectors, is_old = [], []
    for subject in (draw_subject(31, i) for i in range(400)):
        if subject.condition != "control" or 30 <= subject.age <= 75:
            continue
        scans = draw_acquisitions(31, subject.index, subject.site)
        scan = next(scan for scan in scans if scan.sequence == "T1w")
        kind = (subject.age > 75, scan.three_d)
        if not missing[kind]:
            continue
        missing[kind] -= 1
        is_old.append(kind[0])
        made = render_series(build_anatomy(subject), scan)
        series = RenderedSeries(scan.sequence, "", lambda made=made: (made.volume, made.affine))
        subvolumes = cut(series.volume(Preprocessing()))
        with torch.inference_mode():
            latent = model.encode_subvolumes(torch.from_numpy(subvolumes.values[subvolumes.row]))
            coord = torch.from_numpy(subvolumes.coord)
            tokens = Ragged.from_list([model.token_vectors(latent, coord, subvolumes.slice_axis)])
            _, study = model(tokens, [UNKNOWN_NAME], [1], ["MRI BRAIN"])
        vectors.append(study.embedding[0].numpy())
    assert not any(missing.values()) and sum(is_old) == 9
    right = 0
    for left_out, vector in enumerate(vectors):
        groups = [
            [i for i, old in enumerate(is_old) if old == group and i != left_out] for group in (False, True)
        ]
        means = [np.mean([vectors[i] for i in group], axis=0) for group in groups]
        nearest = int(np.argmin([np.linalg.norm(vector - mean) for mean in means]))
        right += nearest == is_old[left_out]
    assert right >= 17
