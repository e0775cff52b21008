"""The published models that this package can convert: where they are, what they need, and under which terms.

One row per name of `prima weights list`. Rows of one `model_type` are variants that read the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from prima_features.errors import UsageError
from prima_features.models.caveats import caveat_of


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hub."""

    repository: str
    file: str
    revision: str | None = None
    sha256: str = ""
    """Empty if the authors state none: the Hub's own checksum is compared either way."""
    others: tuple[str, ...] = ()
    """Further files that conversion needs."""
    optional: tuple[str, ...] = ()
    """Further files that conversion reads if the repository has them."""

    @property
    def page(self) -> str:
        """Where a person reads about it and asks for access."""
        return f"https://huggingface.co/{self.repository}"


@dataclass(frozen=True)
class WebFile:
    """A file at a public address."""

    url: str
    file: str
    page: str
    sha256: str = ""


@dataclass(frozen=True)
class DriveFiles:
    """Files on Google Drive, which the encoder itself lists."""

    page: str


@dataclass(frozen=True)
class Bundled:
    """In the package."""

    page: str = ""


@dataclass(frozen=True)
class PublishedModel:
    """One published model, or a variant of it."""

    name: str
    """As `prima weights download` and `prima weights convert --encoder` take it."""
    model_type: str
    """The encoder that loads it."""
    title: str
    """Name in the authors' words."""
    source: HubFile | WebFile | DriveFiles | Bundled
    megabytes: int
    """Size of the published file; about."""
    width: int
    """Length of the series vector."""
    parameters: float | None
    """Millions; None if unknown."""
    input: str
    """Contrasts and preparation that it was trained with."""
    code_licence: str
    weights_licence: str
    citation: str
    gate: str = ""
    """What must be done before the file can be downloaded; empty if nothing."""
    caveat: str = ""
    """One sentence that must accompany all numbers of the model."""
    about: str = ""
    """What distinguishes a variant."""
    settings: Mapping[str, str | int] = field(default_factory=dict)
    """What distinguishes the configuration of this variant from that of others of its file, such as the feature."""


_NEUROVFM = PublishedModel(
    name="neurovfm",
    model_type="neurovfm",
    title="NeuroVFM",
    source=HubFile("mlinslab/neurovfm-encoder", "pytorch_model.bin", others=("config.json",)),
    megabytes=300,
    width=768,
    parameters=85.8,
    input="any contrast, as acquired, any matrix",
    code_licence="MIT",
    weights_licence="CC BY-NC-SA 4.0",
    citation="Kondepudi et al. 2025, arXiv 2511.18640",
    gate="request access with an institutional e-mail address",
)
_BRAINIAC = PublishedModel(
    name="brainiac",
    model_type="brainiac",
    title="BrainIAC ViT-B",
    source=WebFile(
        "https://www.dropbox.com/scl/fo/i51xt63roognvt7vuslbl/AMblt6reQVvlSrORTB3_2lE/BrainIAC.ckpt"
        "?rlkey=9w55le6tslwxlfz6c0viylmjb&dl=1",
        "BrainIAC.ckpt",
        "https://github.com/AIM-KannLab/BrainIAC",
        "f22bdbcae26823a9d9e8aee883c6f24386ba4617339c12269848b6666cc62693",
    ),
    megabytes=362,
    width=768,
    parameters=88.3,
    input="T1w, T2w, FLAIR, T1c; skull-stripped, rigid to a template",
    code_licence="non-commercial academic use",
    weights_licence="non-commercial academic use; commercial use by licence from Mass General Brigham",
    citation="Tak et al. 2026, Nature Neuroscience, doi 10.1038/s41593-026-02202-6",
    about="mean of the 216 tokens",
    settings={"feature": "mean"},
)
_OPENMIND = PublishedModel(
    name="openmind-resencl",
    model_type="openmind-resencl",
    title="OpenMind ResEncL-MAE",
    source=HubFile(
        "AnonRes/ResEncL-OpenMind-MAE",
        "checkpoint_final.pth",
        sha256="7a847af785635335c00e711d16ff4d225d86ecd5992b14c059df2b520e3ee933",
    ),
    megabytes=491,
    width=320,
    parameters=90.3,
    input="any contrast, resampled to 1 mm",
    code_licence="CC BY-SA 4.0",
    weights_licence="CC BY 4.0",
    citation="Wald et al. 2024, arXiv 2412.17041",
    caveat=(
        "The authors of OpenMind do not recommend their models for feature extraction without fine-tuning."
    ),
    about="mean of the last stage",
    settings={"feature": "last"},
)
_DINOV2 = PublishedModel(
    name="dinov2-slices",
    model_type="dinov2-slices",
    title="DINOv2 ViT-B/14 on axial slices",
    source=HubFile("timm/vit_base_patch14_dinov2.lvd142m", "model.safetensors"),
    megabytes=346,
    width=768,
    parameters=86.6,
    input="any contrast; skull-stripped if possible; 128 slices",
    code_licence="this package",
    weights_licence="Apache-2.0",
    citation="Oquab et al. 2023, arXiv 2304.07193",
    caveat="DINOv2 was trained on natural images: a model of brain MRI should give better features.",
    settings={"slices": 128},
)
_DINOV3 = PublishedModel(
    name="dinov3-slices",
    model_type="dinov3-slices",
    title="DINOv3 ViT-B/16 on axial slices",
    source=HubFile("timm/vit_base_patch16_dinov3.lvd1689m", "model.safetensors"),
    megabytes=343,
    width=768,
    parameters=85.6,
    input="any contrast; skull-stripped if possible; 128 slices",
    code_licence="this package",
    weights_licence="DINOv3 License (acknowledge in publications; no military or nuclear use)",
    citation="Siméoni et al. 2025, arXiv 2508.10104",
    caveat="DINOv3 was trained on natural images: a model of brain MRI should give better features.",
    settings={"slices": 128},
)

_DINOV3D = PublishedModel(
    name="dinov3d-neuro",
    model_type="dinov3d-neuro",
    title="Dinov3D-Neuro",
    source=HubFile(
        "huggingbrain/Dinov3d-Neuro", "eval/training_137499/teacher_checkpoint.pth", optional=("config.yaml",)
    ),
    megabytes=380,
    width=792,
    parameters=93.7,
    input="any contrast, resampled to 1 mm",
    code_licence="not public",
    weights_licence="CC BY-NC-SA 4.0",
    citation="Gilmore and Rokem, Dinov3D-Neuro, model card on the Hub",
    caveat=(
        "This implementation of Dinov3D-Neuro is unverified: its vectors could not be compared with the authors' own."
    ),
    about="class token",
    settings={"feature": "class"},
)


def _baseline(name: str, width: int, about: str) -> PublishedModel:
    return PublishedModel(
        name=name,
        model_type=name,
        title=name,
        source=Bundled(),
        megabytes=0,
        width=width,
        parameters=0,
        input="any contrast, as acquired",
        code_licence="MIT",
        weights_licence="MIT",
        citation="",
        caveat=caveat_of(name),
        about=about,
    )


PUBLISHED: tuple[PublishedModel, ...] = (
    PublishedModel(
        name="prima",
        model_type="prima",
        title="Prima",
        source=DriveFiles("https://github.com/MLNeurosurg/Prima"),
        megabytes=11_000,
        width=10_240,
        parameters=None,
        input="any contrast, as acquired, whole studies",
        code_licence="MIT",
        weights_licence="none stated for the weights",
        citation="Lyu et al. 2025, arXiv 2509.18638",
        about="width of the study vector",
    ),
    _NEUROVFM,
    _BRAINIAC,
    replace(
        _BRAINIAC,
        name="brainiac-token0",
        about="the first token, which the authors use as class token",
        settings={"feature": "token0"},
    ),
    PublishedModel(
        name="simclr3d",
        model_type="simclr3d",
        title="3D-Neuro-SimCLR",
        source=WebFile(
            "https://github.com/emilykaczmarek/3D-Neuro-SimCLR/releases/download/v1.0.0/"
            "simclr_3d_brain_foundation.tar",
            "simclr_3d_brain_foundation.tar",
            "https://github.com/emilykaczmarek/3D-Neuro-SimCLR",
        ),
        megabytes=400,
        width=512,
        parameters=33.2,
        input="T1w; skull-stripped, rigid to MNI152 at 1 mm",
        code_licence="MIT",
        weights_licence="none stated for the weights",
        citation="Kaczmarek et al. 2025, arXiv 2509.10620",
    ),
    _OPENMIND,
    replace(
        _OPENMIND,
        name="openmind-resencl-stages",
        width=1120,
        about="means of all six stages",
        settings={"feature": "stages"},
    ),
    PublishedModel(
        name="neurojepa",
        model_type="neurojepa",
        title="Neuro-JEPA",
        source=HubFile("NYUMedML/Neuro-JEPA", "model.safetensors", others=("config.json",)),
        megabytes=490,
        width=768,
        parameters=122.1,
        input="T1w, T2w, FLAIR; skull-stripped, affine to MNI152 at 1 mm",
        code_licence="MIT",
        weights_licence="CC BY-NC-ND 4.0 (no redistribution, no commercial models trained on outputs)",
        citation="Huang et al. 2026, arXiv 2606.14957",
        gate="request access with an institutional e-mail address; each user needs an approval",
    ),
    _DINOV3D,
    replace(
        _DINOV3D, name="dinov3d-neuro-patches", about="mean of the patch tokens", settings={"feature": "mean"}
    ),
    _DINOV2,
    replace(_DINOV2, name="dinov2-slices-32", about="every fourth slice", settings={"slices": 32}),
    _DINOV3,
    replace(_DINOV3, name="dinov3-slices-32", about="every fourth slice", settings={"slices": 32}),
    _baseline("intensity", 35, "histogram, and volumes of bright and dark tissue"),
    _baseline("acquisition", 24, "matrix, spacing, plane, vendor, kind of sequence"),
)
"""In the order of `prima weights list`: variants after the model they vary."""


CONVERTIBLE = tuple(row for row in PUBLISHED if not isinstance(row.source, Bundled))
"""Those that have a published file to convert: all but the baselines in the package."""


def published_model(name: str) -> PublishedModel:
    """The row of a name.

    Raises:
        UsageError: there is none.
    """
    for model in PUBLISHED:
        if model.name == name:
            return model
    raise UsageError(f"no published model {name}: known are {', '.join(model.name for model in CONVERTIBLE)}")
