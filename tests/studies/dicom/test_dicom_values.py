"""Values are remembered by their bytes; what they mean depends on more than these."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import AMBIGUOUS_VR

from prima_features.studies.dicom import read, values

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_element_reads_as_pydicom_reads_it_whatever_was_read_before(write_slice, tmp_path, syntax) -> None:
    files = [
        write_slice(tmp_path / f"{i}", transfer_syntax=one, EchoTime=4.5, Rows=258)
        for i, one in enumerate((*SYNTAXES, syntax))
    ]
    for tag in filter(_is_public, read._TAGS):
        for file in files[:-1]:
            values.value(pydicom.dcmread(file), tag)  # fills what is remembered with the other forms
        element = pydicom.dcmread(files[-1]).get(values.base_tag(tag))
        if element is not None and element.VR != "SQ":
            assert values.value(pydicom.dcmread(files[-1]), tag) == element.value, tag


def test_the_same_bytes_are_other_words_in_another_character_set(tmp_path: Path) -> None:
    names = {"ISO_IR 100": "crâne", "ISO_IR 144": "crтne"}
    for character_set, name in names.items():
        data = Dataset()
        data.SpecificCharacterSet, data.SeriesDescription = character_set, name
        stream = BytesIO()
        pydicom.dcmwrite(stream, data, implicit_vr=True, little_endian=True)
        stored = pydicom.dcmread(BytesIO(stream.getvalue()), force=True)
        assert stored.get_item(0x0008103E).value == b"cr\xe2ne "
        assert values.text(stored, "SeriesDescription") == name


def test_no_element_that_is_read_needs_others_to_be_understood() -> None:
    assert not [tag for tag in filter(_is_public, read._TAGS) if dictionary_VR(tag) in AMBIGUOUS_VR]


def test_a_short_sequence_is_read_in_its_own_data_set(tmp_path: Path) -> None:
    read_again = []
    for _ in range(2):
        data, item = Dataset(), Dataset()
        item.EffectiveEchoTime = 90.0
        data.MREchoSequence = [item]
        stream = BytesIO()
        pydicom.dcmwrite(stream, data, implicit_vr=False, little_endian=True)
        stored = pydicom.dcmread(BytesIO(stream.getvalue()), force=True)
        (echo,) = values.items(stored, "MREchoSequence")
        assert values.number(echo, "EffectiveEchoTime") == 90
        read_again.append(echo)
    assert read_again[0] is not read_again[1]


def _is_public(tag: values.Tag) -> bool:
    return not values.base_tag(tag).is_private
