"""Settings: an unknown, wrong or contradictory key is an error that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.pretraining.settings import (
    Augmentation,
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    TokenizerTraining,
    read_settings,
)

CLIP = 'output = "run"\nmodel = "prima-untrained"\n'
DATA = '[data]\nsource = "scans"\nreports = "reports.tsv"\n'
Write = Callable[..., Path]


def test_what_is_not_given_has_the_published_value(write: Write) -> None:
    settings = read_settings(ClipTraining, write(CLIP + DATA))
    assert (settings.optimiser.name, settings.optimiser.lr, settings.optimiser.weight_decay) == (
        "adam",
        2e-6,
        1e-4,
    )
    assert settings.schedule.warmup == 200
    assert settings.patient_weight == 0.03
    augmentation = settings.augmentation
    assert (augmentation.drop_series, augmentation.drop_token, augmentation.unknown_name) == (
        0.08,
        0.03,
        0.07,
    )
    assert (augmentation.move_threshold, augmentation.abnormal_repeats) == (2, 3)
    assert augmentation.shuffle_series and augmentation.shuffle_findings


def test_a_key_that_is_given_leaves_its_neighbours_as_the_stage_has_them(write: Write) -> None:
    settings = read_settings(ClipTraining, write(CLIP + DATA + "[optimiser]\nclip_norm = 1\n"))
    assert settings.optimiser.lr == 2e-6
    assert settings.optimiser.clip_norm == 1.0


def test_paths_start_at_the_settings_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    settings = read_settings(ClipTraining, write(CLIP.replace("prima-untrained", "earlier") + DATA))
    assert settings.output == tmp_path / "run"
    assert settings.data.source == tmp_path / "scans"
    assert settings.model == str(tmp_path / "earlier")
    bundled = read_settings(ClipTraining, write(CLIP + DATA))
    assert bundled.model == "prima-untrained"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("[optimiser]\nlrr = 1e-3\n", "unknown key optimiser.lrr; did you mean lr?"),
        ("[augmentation]\nflip = true\n", "unknown key augmentation.flip"),
        ("[optimiser]\nlr = 'fast'\n", "optimiser.lr is a number, not 'fast'"),
        (
            "[optimiser]\nname = 'sgd'\n",
            "optimiser.name is one of 'adam', 'adamw', 'muon', 'rmsprop', not 'sgd'",
        ),
        ("[optimiser]\nlr = -1\n", "optimiser.lr must be above 0"),
        ("[optimiser]\nbetas = [0.9]\n", "optimiser.betas has 2 values, not 1"),
        ("[augmentation]\nshuffle_series = 1\n", "augmentation.shuffle_series is true or false, not 1"),
        (
            "[augmentation]\nmove_threshold = true\n",
            "augmentation.move_threshold is a whole number, not True",
        ),
        (
            "[augmentation]\ndrop_token = 1.5\n",
            "augmentation.drop_token must be a probability between 0 and 1",
        ),
        ("[schedule]\nwarmup = 2000\n", "schedule.warmup is 2000, more than the 1000 steps"),
        (
            "[schedule]\ndecay = 'none'\nfloor = 0.1\n",
            "schedule.floor applies to decay = 'cosine', but decay is 'none'",
        ),
        ("[text]\nsource = '.'\n[network.text]\ndim = 8\n", "text.source and network.text both define"),
        ("[log]\nevery = 0\n", "log.every must be 1 or more"),
    ],
)
def test_a_wrong_key_is_named(write: Write, more: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read_settings(ClipTraining, write(CLIP + DATA + more))
    assert told in str(error.value)
    assert "settings.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLIP + "chunk = 64\n" + DATA, "chunk must be between 0 and batch (32), not 64"),
        (CLIP + "steps = 0\n" + DATA, "steps must be 1 or more"),
        (CLIP + "nois = 1\n" + DATA, "unknown key nois"),
        (CLIP + "readers = -1\n" + DATA, "prefetch and readers must be 0 or more"),
        (CLIP + DATA + "workers = -1\n", "data.workers must be 0 or more"),
        (CLIP, "data is missing"),
        (CLIP + DATA.replace('reports = "reports.tsv"\n', ""), "data.reports is missing"),
        (CLIP + "[data]\nsynthetic = 3\nsource = 'x'\n", "data.source and synthetic: set exactly one"),
        (
            CLIP + "[data]\nsynthetic = 3\nformat = 'bids'\n",
            "data.format applies to source, but synthetic is set",
        ),
        ('output = "run"\n' + DATA, "model is missing; set it to the initial model, or set network"),
        ('output = "run"\n[network.study]\nregisters = 1\n' + DATA, "model is missing"),
        (CLIP + "[data]\nsynthetic = 3\nreports = 'r.tsv'\n", "data.reports applies to source"),
        (
            CLIP + DATA + "synthetic_seed = 3\n",
            "data.synthetic_seed applies to synthetic",
        ),
        (CLIP + DATA + "synthetic_visits = 2\n", "data.synthetic_visits applies to synthetic"),
        (CLIP + "[data]\nsynthetic = 3\nsynthetic_visits = 0\n", "data.synthetic_visits must be 1 or more"),
        (CLIP + "pair_weight = 1\n" + DATA, "unknown key pair_weight: it belongs to the recipe"),
        ("output = run", "is not a TOML file"),
    ],
)
def test_contradictions_and_gaps_are_named(write: Write, text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read_settings(ClipTraining, write(text))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("cls", "key", "value", "told"),
    [
        (ClipTraining, "seed", "-1", "must be at least 0 and below 2**64, not -1"),
        (ClipTraining, "seed", str(2**64), "must be at least 0 and below 2**64"),
        (ClipTraining, "batch", "1", "must be 2 or more for a contrastive loss, not 1"),
        (ClipTraining, "temperature", "nan", "is a finite number, not nan"),
        (ClipTraining, "network.text", "3", "must be a table, not 3"),
        (ClipTraining, "optimiser.lr", "inf", "is a finite number, not inf"),
        (ClipTraining, "optimiser.eps", "0", "must be above 0, not 0.0"),
        (ClipTraining, "optimiser.weight_decay", "-0.1", "must be 0 or more, not -0.1"),
        (ClipTraining, "optimiser.clip_norm", "-1", "must be 0 or more, not -1.0"),
        (ClipTraining, "optimiser.betas", "[0.9, 1]", "must be at least 0 and below 1, not 0.9 and 1.0"),
        (ClipTraining, "optimiser.betas", "[-0.1, 0.9]", "must be at least 0 and below 1, not -0.1 and 0.9"),
        (ClipTraining, "data.min_slices", "0", "must be 1 or more, not 0"),
        (TokenizerTraining, "data.synthetic_seed", "-3", "must be 0 or more, not -3"),
        (TokenizerTraining, "data.min_slices", "9", "applies to source, but synthetic is set"),
        (TokenizerTraining, "network.text", "{dim = 8}", "applies to the clip stage"),
        (TokenizerTraining, "data.token_share", "0.5", "applies to the latents of later stages"),
        (TokenizerTraining, "revive_below", "0.5", "has no effect if revive_every is 0"),
        (NamesTraining, "network.text", "{dim = 8}", "applies to the clip stage"),
        (NamesTraining, "batch", "1", "must be 2 or more for a contrastive loss, not 1"),
        (NamesTraining, "tower.depth", "0", "must be 1 or more, not 0"),
        (NamesTraining, "tower.heads", "-2", "must be 1 or more, not -2"),
        (NamesTraining, "tower.registers", "0", "must be 1 or more, not 0"),
        (NamesTraining, "tower.out_dim", "0", "must be 1 or more, not 0"),
        (HeadsTraining, "hidden", "[8, 0]", "must be two positive widths, not 8 and 0"),
        (HeadsTraining, "noise", "-0.1", "must be 0 or more, not -0.1"),
        (HeadsTraining, "data.priority", '["low", "Low"]', "contains a name twice"),
    ],
)
def test_a_value_out_of_range_is_named(cls: type, key: str, value: str, told: str, write: Write) -> None:
    data = {
        ClipTraining: 'data.source = "scans"\ndata.reports = "reports.tsv"\n',
        TokenizerTraining: "data.synthetic = 3\n",
        NamesTraining: "data.synthetic = 3\n",
        HeadsTraining: 'data.embeddings = "e.h5"\ndata.labels = "l.tsv"\ndata.diagnosis = ["a"]\n',
    }
    read_settings(cls, write(CLIP + data[cls]))
    with pytest.raises(UsageError) as error:
        read_settings(cls, write(f"{CLIP}{data[cls]}{key} = {value}\n"))
    assert f"{key} {told}" in str(error.value)


def test_later_stages_start_from_a_model(write: Write) -> None:
    text = 'output = "run"\n[data]\nsource = "x"\n[network.tokenizer]\ncodes = 8\n'
    assert read_settings(TokenizerTraining, write(text)).network == {"tokenizer": {"codes": 8}}
    with pytest.raises(UsageError, match="model is missing"):
        read_settings(NamesTraining, write(text))


def test_heads_are_named_and_named_once(write: Write) -> None:
    text = 'output = "run"\nmodel = "m"\n[data]\nembeddings = "e.h5"\nlabels = "l.tsv"\n'
    with pytest.raises(UsageError, match=r"data\.diagnosis, referral and priority: set at least one"):
        read_settings(HeadsTraining, write(text))
    with pytest.raises(UsageError, match=r"data\.diagnosis contains a name twice"):
        read_settings(HeadsTraining, write(text + 'diagnosis = ["a", "a"]\n'))
    settings = read_settings(HeadsTraining, write(text + 'diagnosis = ["a"]\n'))
    assert (settings.optimiser.name, settings.optimiser.lr, settings.noise) == ("rmsprop", 1e-5, 0.01)
    assert settings.hidden == (4000, 1000)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(ClipTraining, tmp_path / "none.toml")


def test_the_settings_in_the_docs_are_read(write: Write) -> None:
    docs = Path(__file__).parents[2] / "docs" / "pretraining.md"
    if not docs.exists():
        pytest.skip("needs the docs of the checkout")
    examples = [block.split("```")[0] for block in docs.read_text().split("```toml\n")[1:]]
    for cls, text in zip(
        (TokenizerTraining, NamesTraining, ClipTraining, HeadsTraining), examples, strict=True
    ):
        settings = read_settings(cls, write(text))
        if isinstance(settings, ClipTraining):
            assert settings.augmentation == Augmentation()
