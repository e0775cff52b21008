"""The page of a search: for each query the most similar studies with their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.clinical.pages.pictures import pictures_of
from prima_features.page import count, template
from prima_features.page.blocks import Section
from prima_features.page.html import Script, script_json
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    from prima_features.clinical.search import Found
    from prima_features.embedding.file.read import Embeddings

MOST_SHOWN = 500
"""Studies per query on the page; the table has all."""
_ROOM = "prima_features.clinical.pages"


def search_page(found: Found, file: Embeddings, title: str) -> str:
    """The page as HTML.

    Args:
        found: ranks of the studies of `file`.
        file: the embeddings file; pictures come from its own HTML report, if there is one.
        title: heading of the page, such as the table's file name.
    """
    top = found.table[found.table["rank"] <= MOST_SHOWN]
    queries = list(dict.fromkeys(found.table["query"]))
    n = found.table["study"].nunique()
    wanted = top.sort_values(["rank", "study"], kind="stable")["study"].drop_duplicates()
    return template(_ROOM, "search.html.jinja").render(
        title=title,
        main_result=f"{count(n, 'study', 'studies')} ranked by {count(len(queries), 'query', 'queries')}.",
        research_only=RESEARCH_ONLY,
        warnings=[*([found.caveat] if found.caveat else []), *found.warnings],
        sections=[Section("results", "Results")],
        attributes=file.attributes,
        embeddings=file.path.name,
        n_studies=n,
        most_shown=MOST_SHOWN,
        against=found.against,
        data=script_json({"queries": [_hits(name, top[top["query"] == name]) for name in queries]}),
        pictures=script_json(pictures_of(file, wanted)),
        script=Script(_ROOM, "search.js"),
    )


def _hits(name: str, hits: Any) -> dict[str, Any]:
    columns = {column: hits[column].tolist() for column in ("study", "subject", "session")}
    numbers = {
        column: np.round(hits[column].to_numpy(), 4).tolist()
        for column in ("cosine", "against", "difference")
        if column in hits
    }
    return {"name": name, **columns, **numbers}
