"""An embeddings file as a table for other programs: Parquet, CSV or NPZ."""

from prima_features.embedding.export.run import FORMATS, Exported, Format, export
from prima_features.embedding.export.table import LEVELS, Level

__all__ = ["FORMATS", "LEVELS", "Exported", "Format", "Level", "export"]
