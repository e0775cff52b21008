"""Pictures of studies, as the HTML report of their embeddings file has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.record.output import report_path
from prima_features.embedding.report.album import Album, choose

if TYPE_CHECKING:
    from prima_features.embedding.file.read import Embeddings


def pictures_of(file: Embeddings, studies: Iterable[str]) -> dict[str, Any]:
    """Pictures by study id, those of the first studies if not all fit into a page; none without an HTML report.

    Only pictures of the same scans are taken: those whose input hash is that of the embeddings file.
    """
    page = report_path(file.path)
    if not page.is_file():
        return {}
    headers = StoredStudies(file.path).headers
    return choose(Album(pages=[page]), [(study, headers[study].input_hash) for study in studies])
