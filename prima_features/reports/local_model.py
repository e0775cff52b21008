"""A language model in a local folder, run with transformers."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.reports.records import ReportError

logger = logging.getLogger(__name__)


class LocalModel:
    """A `LanguageModel` read from a folder in the layout of transformers' `save_pretrained`.

    Nothing is downloaded, no code of the folder is run, and weights are read from safetensors files only.
    Prompts go through the tokenizer's chat template if it has one. Answers are greedy.

    Raises:
        UsageError: the folder contains no such model, or transformers is not installed.
    """

    workers = 0

    def __init__(self, directory: Path, device: str = "cpu", max_tokens: int = 1024):
        if not directory.is_dir():
            raise UsageError(f"{directory} is not a folder: --model names a folder with a transformers model")
        try:
            import transformers
        except ImportError as error:
            raise UsageError(
                'a local language model needs transformers: pip install "prima-features[text]"'
            ) from error
        only_here = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **only_here)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                directory, use_safetensors=True, **only_here
            )
        except (OSError, ValueError, KeyError) as error:
            logger.debug("loading %s failed", directory, exc_info=error)
            raise UsageError(
                f"{directory} contains no language model that transformers can read: check --model"
            ) from error
        self._model = model.to(device).eval()
        self._max_tokens = max_tokens
        self.name = f"transformers:{directory.resolve().name}"
        self.identity = f"{self.name} {_state(directory)} max_tokens={max_tokens}"

    def ask(self, prompt: str) -> str:
        """The model's answer.

        Raises:
            ReportError: the prompt is longer than the model's context, or the answer than `max_tokens`.
        """
        import torch

        encoded = self._encode(prompt).to(self._model.device)
        length = encoded["input_ids"].shape[1]
        context = getattr(self._model.config, "max_position_embeddings", None)
        room = self._max_tokens if context is None else min(self._max_tokens, context - length)
        if room < 1:
            raise ReportError(
                f"the prompt of {length} tokens is longer than the model's context of {context}"
            )
        with torch.inference_mode():
            output = self._model.generate(
                **encoded, max_new_tokens=room, do_sample=False, pad_token_id=self._tokenizer.eos_token_id
            )[0, length:]
        if len(output) == room and int(output[-1]) not in self._ends():
            raise ReportError(f"the answer is longer than {room} tokens")
        return str(self._tokenizer.decode(output, skip_special_tokens=True)).strip()

    def _ends(self) -> set[int | None]:
        """Tokens that end an answer."""
        ends = self._model.generation_config.eos_token_id
        return {*(ends if isinstance(ends, list) else [ends]), self._tokenizer.eos_token_id}

    def _encode(self, prompt: str) -> Any:
        if self._tokenizer.chat_template:
            return self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
            )
        return self._tokenizer(prompt, return_tensors="pt")


def _state(directory: Path) -> str:
    """Hash of the names, sizes and times of a folder's files: another model under the same path is another one."""
    files = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in directory.iterdir()
        if file.is_file()
    )
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]
