"""Prima with weights: loading from a directory, the package or the Hub, and saving."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import torch
from safetensors.torch import save

from prima_features.encoders.base import Encoder, EncoderInfo, Widths
from prima_features.encoders.prima.encode import Network, PrimaInference
from prima_features.encoders.prima.heads import iter_heads
from prima_features.encoders.prima.model_config import read_config, write_config
from prima_features.encoders.prima.networks.config import MODEL_TYPE, PrimaConfig
from prima_features.encoders.prima.networks.prima import Prima
from prima_features.encoders.prima.networks.transformer import PLACE_DIM
from prima_features.encoders.prima.prepare import PrimaPreparer
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.text import load_text
from prima_features.errors import UnknownOptionError, UsageError
from prima_features.files.disk import sha256
from prima_features.models import directory
from prima_features.models.caveats import caveat_of
from prima_features.models.loading import check_tensors, fill, hollow
from prima_features.models.resolve import ModelSource, resolve

_CARD = """---
library_name: prima-features
pipeline_tag: image-feature-extraction
tags:
- mri
- brain
- neuroimaging
- medical
---

A [Prima](https://arxiv.org/abs/2509.18638) encoder for brain MRI, for `prima embed --model` of prima-features.
"""
"""Of a model that was not loaded from a directory with a card."""


class PrimaModel(Prima, Encoder):
    """The encoder, with the origin of its weights.

    Attributes:
        name: bundled name, Hub id, or name of the directory.
        revision: commit on the Hub, version of this package for a bundled model, or `local`.
        sha256: checksum of model.safetensors; empty for weights that were not loaded.
        directory: the directory it was loaded from.
    """

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__(config)
        self.name = ""
        self.revision = ""
        self.sha256 = ""
        self.directory: Path | None = None
        self.series_names = "keep"

    @property
    def preprocessing(self) -> Preprocessing:
        """How volumes must be prepared for these weights."""
        return self.config.preprocessing

    @property
    def caveat(self) -> str:
        """One sentence that must accompany all numbers of the model; empty for most models."""
        return self.config.caveat

    @property
    def info(self) -> EncoderInfo:
        """What is recorded of the model in each embeddings file."""
        config = self.config
        token = config.sequence.transformer.dim - PLACE_DIM
        return EncoderInfo(
            encoder=MODEL_TYPE,
            name=self.name,
            revision=self.revision,
            sha256=self.sha256,
            widths=Widths(config.study.flat_dim, config.sequence.out_dim, config.study.out_dim, token),
            # The default is not recorded, so that earlier files keep their hash.
            settings=asdict(config.preprocessing)
            | ({} if self.series_names == "keep" else {"series_names": self.series_names}),
            caveat=config.caveat,
            citation="Lyu et al. 2025, arXiv 2509.18638",
            unit="subvolumes",
        )

    def preparer(self) -> PrimaPreparer:
        """What reads series and cuts them into subvolumes."""
        return PrimaPreparer(self.preprocessing)

    def on(self, device: torch.device, dtype: torch.dtype, batch_size: int) -> PrimaInference:
        """The model on a device; `batch_size` counts subvolumes in one call of the tokenizer."""
        return PrimaInference(
            Network(self, device, dtype, batch_size), hide_names=self.series_names == "hidden"
        )

    def with_options(self, options: Mapping[str, str]) -> PrimaModel:
        """See `Encoder.with_options`; there is one option, `series_names`, with the values `keep` and `hidden`."""
        if unknown := sorted(options.keys() - {"series_names"}):
            raise UnknownOptionError(
                f"Prima has no option {', '.join(unknown)}: its only option is series_names"
            )
        value = options.get("series_names", self.series_names)
        if value not in ("keep", "hidden"):
            raise UsageError(f"series_names must be keep or hidden, not {value}")
        changed = copy.copy(self)
        changed.series_names = value
        return changed

    def check_parts(self) -> list[str]:
        """Load text tower and heads, heads one at a time.

        Returns:
            What was loaded, in words; a text tower is said to be left out if transformers is not installed.
        """
        loaded = ["encoder"]
        if self.directory is not None and self.config.text is not None:
            if find_spec("transformers") is None:
                loaded.append("text tower left out (transformers is not installed)")
            else:
                load_text(self.directory)
                loaded.append("text tower")
        if self.directory is not None and self.config.heads is not None:
            loaded.append(f"{sum(1 for _ in iter_heads(self.directory))} heads")
        return loaded

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Load a model, in evaluation mode, without its text tower and heads (`load_text`, `score_heads`).

        Args:
            name: a directory, a bundled model's name, or a Hub id, the latter also as `OWNER/NAME@REVISION`;
                looked for in that order, and in the Hub's cache before the Hub.
            revision: branch, tag or commit of a Hub id.
            device: device of the weights.
            dtype: number type of the weights.

        Raises:
            UsageError: there is no such model, or it is damaged or of other sizes than its config.json says.
        """
        return cls.from_source(resolve(name, revision), device, dtype)

    @classmethod
    def from_source(
        cls, source: ModelSource, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """Load the model of a directory (see `from_pretrained`)."""
        config = read_config(source.directory)
        check_tensors(source.directory / directory.MODEL)  # takes no time, and a checksum does
        checksum = sha256(source.directory / directory.MODEL)
        config = replace(config, caveat=config.caveat or caveat_of(source.name, checksum))
        try:
            model = hollow(lambda: cls(config))
        except ValueError as error:
            raise UsageError(
                f"{source.directory / directory.CONFIG} has impossible sizes: {error}"
            ) from error
        fill(model, source.directory / directory.MODEL, device, dtype)
        model.name, model.revision, model.directory = source.name, source.revision, source.directory
        model.sha256 = checksum
        return model

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Save the model as a model directory.

        Text tower with its vocabulary and heads are copied from where the model was loaded, and so is the card.

        Args:
            save_directory: created if it does not exist. Files of an earlier model in it are replaced.
        """
        save_directory = Path(save_directory)
        save_directory.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        # Under another name first: a loaded model's tensors may still be mapped from the file of that name.
        partial = save_directory / f"{directory.MODEL}.partial"
        partial.write_bytes(save(tensors, metadata={"format": "pt"}))
        partial.replace(save_directory / directory.MODEL)
        copied = {
            file
            for file in (directory.TEXT, directory.VOCABULARY, directory.HEADS, directory.CARD)
            if self._copy(file, save_directory)
        }
        if directory.CARD not in copied:
            (save_directory / directory.CARD).write_text(_CARD, encoding="utf-8")
        write_config(
            save_directory,
            replace(
                self.config,
                text=self.config.text if directory.TEXT in copied else None,
                heads=self.config.heads if directory.HEADS in copied else None,
            ),
        )
        directory.write_checksums(save_directory)

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> str:
        """Save the model and upload it to the Hub in one commit.

        Args:
            repo_id: repository, as OWNER/NAME; created if it does not exist.
            private: make a new repository private.

        Returns:
            The commit's address.

        Raises:
            UsageError: the Hub refuses it or cannot be reached.
        """
        from prima_features.models.catalog import push

        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, private)

    def _copy(self, file: str, target: Path) -> bool:
        source = self.directory / file if self.directory is not None else None
        if source is None or not source.is_file():
            (target / file).unlink(missing_ok=True)
            return False
        if source.resolve() != (target / file).resolve():
            shutil.copyfile(source, target / file)
        return True


def load(source: ModelSource) -> PrimaModel:
    """The registered function of the encoder `prima` (see `encoders.registry`)."""
    return PrimaModel.from_source(source)
