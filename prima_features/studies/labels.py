"""Names: labels of subjects and sessions, study ids (`sub-X` or `sub-X_ses-Y`), series names, and pseudonyms."""

import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import date

MAX_LABEL = 64
"""Most characters of a label derived from a name. Ids become file names, which most disks limit to 255 bytes."""


def study_id(subject: str, session: str = "") -> str:
    """Id of a study from labels without prefixes."""
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def split_id(study: str) -> tuple[str, str]:
    """Subject and session labels in a study's id; the session may be empty."""
    subject, _, session = study.removeprefix("sub-").partition("_ses-")
    return subject, session


def bare(label: str, prefix: str) -> str:
    """A label without its prefix: `sub-01` and ` 01 ` become `01`, in composed Unicode characters (NFC)."""
    return nfc(label).strip().removeprefix(prefix)


def nfc(text: str) -> str:
    """Text in composed Unicode form: macOS and others encode the same name in different code points."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def safe_label(text: str) -> str:
    """A label that is valid in BIDS and on every file system: letters and digits only.

    Text without any of these, such as a name in Chinese characters, is replaced by its digest. Composed and decomposed
    spellings of a text (NFC and NFD) give the same label. Labels longer than `MAX_LABEL` are cut and end in a digest.
    """
    text = nfc(text)
    label = re.sub(r"[^a-zA-Z0-9]", "", text) or digest(text)
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 8] + digest(text)


def digest(text: str) -> str:
    """The first eight hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


# ---- series names ----

NAMELESS = "UNK-"
"""Name of a series that has none, followed by its SeriesInstanceUID."""
_REPLACED = {"+": "_plus_", "*": "_star_"}


def clean(text: str) -> str:
    """`+` and `*` spelled out, every other character outside a-z A-Z 0-9 replaced by `_`."""
    return re.sub(r"[^a-zA-Z0-9]", lambda match: _REPLACED.get(match[0], "_"), text)


def is_named(name: str) -> bool:
    """Whether a series has a name, and not only its UID."""
    return not name.startswith(NAMELESS)


def series_name(description: str, protocol: str) -> str:
    """The series' name that the sequence encoder reads, by the rule of Prima's public pipeline.

    Args:
        description: SeriesDescription, from DICOM or from a sidecar.
        protocol: ProtocolName.

    Returns:
        The name; empty if both are empty, which callers replace.
    """
    description, protocol = clean(description), clean(protocol)
    if not protocol or description == protocol:
        return description
    return f"{description}-{protocol}-Protocol" if description else f"{protocol}-Protocol"


# ---- pseudonyms ----


_FIRST_DAY = date(1900, 1, 1).toordinal()
_CENTURY = 36_525
"""Days."""


@dataclass(frozen=True)
class Pseudonyms:
    """Pseudonyms of DICOM patients and studies: the same for the same key, and irreversible without it.

    A plain hash of a PatientID can be reversed by trying all ids; HMAC-SHA256 with a secret key cannot.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    keep_patient_id: bool = False
    """Use the PatientID itself, made safe for file names, instead of a pseudonym."""

    def __post_init__(self) -> None:
        if len(self.key) < 16:  # an empty key gives the same pseudonyms to everybody
            raise ValueError(f"the key has {len(self.key)} bytes; at least 16 are needed")

    def subject(self, patient_id: str, person: str = "") -> str:
        """Name of a patient without `sub-`; ASCII letters and digits only.

        In a kept PatientID, other characters are replaced by eight digits of its SHA-256, so `A-1` and `A1` remain two
        subjects in every run.

        Args:
            patient_id: as written in the files.
            person: distinguishes this patient from others with the same PatientID, if there are any.
        """
        if not self.keep_patient_id:
            return self._digest("subject", f"{patient_id}\0{person}" if person else patient_id)
        kept = re.sub(r"[^a-zA-Z0-9]", "", patient_id)
        if kept != patient_id:
            kept += digest(patient_id)
        return kept + (self._digest("person", f"{patient_id}\0{person}")[:8] if person else "")

    def unknown_subject(self, study_uid: str, person: str = "") -> str:
        """Pseudonym of a patient without PatientID. UIDs are hashed even if PatientIDs are kept."""
        return self._digest("subject", f"{study_uid}\0{person}" if person else study_uid)

    def session(self, study_uid: str, date: str = "") -> str:
        """Pseudonym of a study without `ses-`. UIDs are hashed even if PatientIDs are kept.

        Args:
            study_uid: StudyInstanceUID.
            date: StudyDate, if one StudyInstanceUID covers visits on several dates.
        """
        return self._digest("session", f"{study_uid}\0{date}" if date else study_uid)

    def day(self, subject: str, when: date) -> int:
        """The date as a number of days from an unknown day.

        The difference between two of a patient's numbers is that between the dates, under the same key, in every run.
        The unknown day is another one for each patient; it is one of 36,525, and irreversible without the key.

        Args:
            subject: the patient's name, as `subject` or `unknown_subject` gives it.
            when: date of the study.
        """
        return when.toordinal() - _FIRST_DAY + self._shift(subject)

    def ordinal(self, subject: str, day: float) -> float:
        """The date of a `day`, as `date.toordinal` counts."""
        return day + _FIRST_DAY - self._shift(subject)

    def _shift(self, subject: str) -> int:
        return int(self._digest("day", subject), 16) % _CENTURY

    def _digest(self, kind: str, text: str) -> str:
        message = f"{kind}:{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:12]
