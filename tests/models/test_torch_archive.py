"""Tensors come out of an archive as torch would give them, one at a time, or the file is refused."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prima_features.errors import UsageError
from prima_features.models.checkpoint.records import CheckpointError, Global, Record
from prima_features.models.checkpoint.stored_tensor import StoredTensor, as_tensor
from prima_features.models.checkpoint.torch_archive import TorchArchive
from prima_features.models.checkpoint.zip_entries import ZipEntries

MakeArchive = Callable[..., Path]


def saved(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def numbers(archive: TorchArchive, tensor: StoredTensor | None) -> bytes:
    assert tensor is not None
    return b"".join(archive.chunks(tensor))


def expected(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def view(shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, size: int = 12) -> StoredTensor:
    return StoredTensor("F32", shape, stride, offset, "0", size)


def repacked(path: Path, compression: int) -> Path:
    other = path.with_suffix(".repacked")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return other


TENSORS = {
    "matrix": torch.arange(12.0).view(3, 4),
    "parameter": nn.Parameter(torch.arange(5.0)),
    "transposed": torch.arange(12.0).view(3, 4).T,
    "column": torch.arange(12.0).view(3, 4)[:, 1],
    "part": torch.arange(12.0)[5:9],
    "scalar": torch.tensor(7.0),
    "none": torch.empty(0, 3),
    "channels last": torch.randn(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d),
    "half": torch.randn(3).half(),
    "bfloat16": torch.randn(3).bfloat16(),
    "double": torch.randn(3).double(),
    "long": torch.arange(3),
    "bool": torch.tensor([True, False]),
    "int8": torch.randn(2, 2).to(torch.int8),
    "uint8": torch.arange(4).to(torch.uint8),
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_is_read_as_torch_reads_it(name: str, compression: int, tmp_path: Path) -> None:
    path = repacked(saved(TENSORS, tmp_path / "all.pt"), compression)
    with TorchArchive(path) as archive:
        assert isinstance(archive.root, dict)
        tensor = as_tensor(archive.root[name])
        assert tensor is not None
        assert tensor.shape == tuple(TENSORS[name].shape)
        assert numbers(archive, tensor) == expected(TENSORS[name])
        assert tensor.nbytes == len(expected(TENSORS[name]))


def test_tensors_that_share_a_storage_are_both_read(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    with TorchArchive(saved([whole, whole[2:4], whole], tmp_path / "shared.pt")) as archive:
        assert isinstance(archive.root, list)
        tensors = [as_tensor(value) for value in archive.root]
        assert {tensor.storage for tensor in tensors if tensor} == {"0"}
        assert numbers(archive, tensors[1]) == expected(whole[2:4])


def test_a_row_is_read_without_the_others(tmp_path: Path) -> None:
    matrix = torch.arange(12.0).view(3, 4)
    with TorchArchive(saved(matrix, tmp_path / "matrix.pt")) as archive:
        tensor = as_tensor(archive.root)
        assert tensor is not None
        assert tensor.row(-1).shape == (1, 4)
        assert numbers(archive, tensor.row(-1)) == expected(matrix[2])
        assert tensor.row(1).nbytes == 16


def test_two_tensors_can_be_read_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prima_features.models.checkpoint.zip_entries.CHUNK_BYTES", 4)
    with TorchArchive(saved([torch.arange(3.0), torch.arange(3.0, 6.0)], tmp_path / "two.pt")) as archive:
        assert isinstance(archive.root, list)
        both = zip(*(archive.chunks(as_tensor(value)) for value in archive.root), strict=True)  # type: ignore[arg-type]
        pieces = [np.frombuffer(b"".join(pair), "<f4").tolist() for pair in both]
    assert pieces == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((3, 4), (4, 2), 0),
        ((2**40,), (0,), 0),
        ((2**20, 2**20), (0, 0), 0),
        ((1000, 1000), (1, 1), 0),
        ((3,), (-1,), 11),
        ((-3,), (1,), 0),
        ((2**60,), (1,), 0),
        ((3,), (1, 1), 0),
        ((1,) * 9, (1,) * 9, 0),
        ((3,), (1,), -1),
    ],
)
def test_a_view_that_does_not_fit_its_storage_is_refused(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(CheckpointError, match="contains a tensor"):
        view(shape, stride, offset)


def test_a_negated_view_is_not_taken_for_its_storage(tmp_path: Path) -> None:
    path = saved(torch._neg_view(torch.arange(3.0)), tmp_path / "neg.pt")
    with TorchArchive(path) as archive, pytest.raises(CheckpointError, match="negated or conjugated"):
        as_tensor(archive.root)


def test_a_tensor_wrapped_many_times_is_no_recursion() -> None:
    record: object = None
    for _ in range(100_000):
        record = Record(Global("torch._utils", "_rebuild_parameter"), (record,))
    assert as_tensor(record) is None


def test_a_complex_tensor_is_refused(tmp_path: Path) -> None:
    path = saved(torch.zeros(2, dtype=torch.complex64), tmp_path / "complex.pt")
    with TorchArchive(path) as archive, pytest.raises(CheckpointError, match="of the type ComplexFloat"):
        as_tensor(archive.root)


def test_a_large_transposed_tensor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prima_features.models.checkpoint.torch_archive.MAX_STRIDED_BYTES", 40)
    path = saved(torch.arange(12.0).view(3, 4).T, tmp_path / "t.pt")
    with TorchArchive(path) as archive, pytest.raises(CheckpointError, match="too large to reorder"):
        numbers(archive, as_tensor(archive.root))


def truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def legacy(path: Path) -> Path:
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    return path


def text_file(path: Path) -> Path:
    path.write_text("weights")
    return path


def plain_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    return path


def two_pickles(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("b/data.pkl", pickle.dumps({}))
    return path


def big_endian(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/byteorder", b"big")
    return path


def huge_pickle(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(65 * 2**20))
    return path


BROKEN = {
    truncated: "is not a whole torch.save archive",
    legacy: "from before torch 1.6",
    text_file: "is not a whole torch.save archive",
    plain_zip: "not one that torch.save wrote",
    two_pickles: "no single data.pkl",
    big_endian: "big-endian",
    huge_pickle: "far more than a Prima checkpoint has",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_archive_is_refused_in_one_sentence(
    broken: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = broken(saved({"a": torch.zeros(50)}, tmp_path / "file.pt"))
    with pytest.raises(UsageError, match=BROKEN[broken]) as caught:
        TorchArchive(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [Path("nowhere.pt"), Path()])
def test_a_missing_file_or_a_folder_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        TorchArchive(path)


def test_a_storage_that_is_missing_or_of_another_size_is_refused(
    tmp_path: Path, make_archive: MakeArchive
) -> None:
    source = saved(torch.arange(4.0), tmp_path / "tensor.pt")
    pickled = zipfile.ZipFile(source).read("tensor/data.pkl")
    without, short = (
        make_archive(pickled, "without.pt"),
        make_archive(pickled, "short.pt", **{"0": bytes(12)}),
    )
    with TorchArchive(without) as archive, pytest.raises(CheckpointError, match="lacks the entry"):
        numbers(archive, as_tensor(archive.root))
    with TorchArchive(short) as archive, pytest.raises(CheckpointError, match="of another size"):
        numbers(archive, as_tensor(archive.root))


def test_damage_inside_a_deflated_entry_is_noticed(tmp_path: Path) -> None:
    path = repacked(saved(torch.randn(5000), tmp_path / "tensor.pt"), zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    with TorchArchive(path) as archive, pytest.raises(CheckpointError, match="is damaged at"):
        numbers(archive, as_tensor(archive.root))


def test_encrypted_and_oddly_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("entry", b"data")
    with path.open("rb") as file, pytest.raises(CheckpointError, match="encrypted or compressed"):
        list(ZipEntries(file).chunks("entry", 0, 4))


def test_entries_named_after_other_paths_are_never_written(tmp_path: Path, make_archive: MakeArchive) -> None:
    path = make_archive(pickle.dumps({}), **{"../../../outside": b"x"})
    before = sorted(tmp_path.rglob("*"))
    with TorchArchive(path) as archive:
        assert archive.root == {}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_that_promises_more_than_it_holds_is_noticed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("entry", b"data")
    lying = buffer.getvalue().replace((4).to_bytes(4, "little") * 2, (4000).to_bytes(4, "little") * 2)
    with pytest.raises(CheckpointError, match="is truncated at entry"):
        list(ZipEntries(io.BytesIO(lying)).chunks("entry", 0, 4000))
