"""`prima export` as a user types it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings


@pytest.fixture
def embedded(bids: Path, tmp_path: Path) -> Path:
    assert main(["embed", str(bids), str(tmp_path / "out.h5")]) == 0
    return tmp_path / "out.h5"


def test_one_command_makes_a_table_of_what_was_embedded(
    embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "series.parquet"
    assert (
        main(["export", str(embedded), str(output), "--level", "series", "--columns", "name", "plane"]) == 0
    )
    vectors = read_embeddings(embedded).series_embedding
    said = f"6 rows with vectors of {vectors.shape[1]} numbers; columns id, name, plane"
    assert said in capsys.readouterr().out
    table = pd.read_parquet(output)
    assert table["id"].tolist() == ["sub-01"] * 2 + ["sub-02_ses-a"] * 2 + ["sub-02_ses-b"] * 2
    np.testing.assert_array_equal(np.stack(table["embedding"]), vectors)


def test_a_wrong_file_is_one_sentence(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = bids / "dataset_description.json"
    assert main(["export", str(wrong), str(tmp_path / "table.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {wrong} cannot be opened as HDF5")
    assert not (tmp_path / "table.csv").exists()
