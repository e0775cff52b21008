"""Clinical outputs of models that have heads or a text tower: diagnoses, referrals, a worklist, text search, audit.

For research use only: not a medical device. Nothing here reads images; embeddings files are the input.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from prima_features.clinical.diagnose import diagnose as diagnose
    from prima_features.clinical.search import search as search
    from prima_features.clinical.search import search_like as search_like

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"diagnose": ["diagnose"], "search": ["search", "search_like"]}
)
