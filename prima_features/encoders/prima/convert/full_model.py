"""The published checkpoint as a whole: which tensors go where, and the sizes they imply."""

from __future__ import annotations

from dataclasses import dataclass

from prima_features.encoders.prima.convert.heads import heads
from prima_features.encoders.prima.convert.text import text_tower
from prima_features.encoders.prima.convert.tokenizer import is_tokenizer
from prima_features.encoders.prima.convert.vit import linear, name_encoder, vit
from prima_features.encoders.prima.networks.config import (
    ContrastConfig,
    HeadsConfig,
    NamesConfig,
    PrimaConfig,
    TextConfig,
    TokenizerConfig,
    ViTConfig,
)
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.stored_tensor import StoredTensor

_VISUAL = ("clipmodel.visual_model", "clipvisualmodel", "visual_model")

Tensors = dict[str, StoredTensor]


@dataclass(frozen=True)
class FullModel:
    """What is taken from the full checkpoint: all but the tokenizer."""

    sequence: ViTConfig
    study: ViTConfig
    names: NamesConfig
    contrast: ContrastConfig | None
    text: TextConfig | None
    heads: HeadsConfig | None
    encoder_tensors: Tensors
    text_tensors: Tensors
    heads_tensors: Tensors

    def config(self, tokenizer: TokenizerConfig) -> PrimaConfig:
        """The whole configuration.

        Raises:
            ValueError: sizes that do not fit together.
        """
        return PrimaConfig(
            tokenizer=tokenizer,
            names=self.names,
            sequence=self.sequence,
            study=self.study,
            contrast=self.contrast,
            text=self.text,
            heads=self.heads,
        )


def full_model(root: object) -> FullModel:
    """Sizes and tensors of a full checkpoint's object graph (docs/model.md, section 8).

    Raises:
        CheckpointError: it is no whole pickled model, it lacks a part, or a part is of another kind.
    """
    if isinstance(root, dict):
        other = " (it is a tokenizer, which goes with --tokenizer)" if is_tokenizer(root) else ""
        raise CheckpointError(f"contains a state dict, but the whole pickled model is expected{other}")
    model = Module(root, "")
    visual = next((found for path in _VISUAL if (found := model.find(path)) is not None), None)
    if visual is None:
        raise CheckpointError(f"contains no visual model (looked for {', '.join(_VISUAL)})")
    clip = model.find("clipmodel") or model
    names, names_tensors = _names(visual)
    sequence, sequence_tensors = vit(visual.child("innerViT"), "sequence")
    study, study_tensors = vit(visual.child("outerViT"), "study")
    contrast, contrast_tensors = _contrast(clip, visual)
    text, text_tensors = text_tower(clip)
    head, heads_tensors = heads(model)
    encoder_tensors = names_tensors | sequence_tensors | study_tensors | contrast_tensors
    return FullModel(
        sequence, study, names, contrast, text, head, encoder_tensors, text_tensors, heads_tensors
    )


def _names(visual: Module) -> tuple[NamesConfig, Tensors]:
    for option in ("useseriename", "usestudydescription"):
        if visual.attribute(option, True) is not True:
            raise CheckpointError(f"was trained without series names ({option} is off), but Prima needs them")
    sequence, sequence_tensors = name_encoder(visual.child("serieencoder"), "names.sequence")
    study, study_tensors = name_encoder(visual.child("studyencoder"), "names.study")
    return NamesConfig(sequence, study), sequence_tensors | study_tensors


def _contrast(clip: Module, visual: Module) -> tuple[ContrastConfig | None, Tensors]:
    """Patient discrimination's projection and the temperatures, where the checkpoint has all of them."""
    project = visual.find("patdisnet")
    temperature, patients = clip.find_tensor("temperature"), clip.find_tensor("patdistemperature")
    if project is None or temperature is None or patients is None:
        return None, {}
    first, last = project.child("0"), project.child("2")
    tensors = linear(first, "contrast.project.0") | linear(last, "contrast.project.2")
    tensors |= {"contrast.temperature": temperature, "contrast.patient_temperature": patients}
    return ContrastConfig(first.tensor("weight").length(0), last.tensor("weight").length(0)), tensors
