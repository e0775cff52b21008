"""Pseudonyms for DICOM patients and studies: keyed hashes that nobody without the key can undo."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pseudonyms:
    """Names for subjects and sessions, the same for the same key.

    A plain hash of a PatientID can be undone by trying all ids; HMAC-SHA256 with a secret key cannot.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    keep_patient_id: bool = False
    """Use the PatientID itself, made safe for file names, in place of its pseudonym."""

    def __post_init__(self) -> None:
        if len(self.key) < 16:  # an empty key gives the same pseudonyms to everybody
            raise ValueError(f"the key has {len(self.key)} bytes; at least 16 are needed")

    def subject(self, patient_id: str, person: str = "") -> str:
        """Name of a patient, without the `sub-`; letters and digits of ASCII only.

        A kept PatientID that has other characters loses them, and gets eight digits of its SHA-256 instead, so
        that `A-1` and `A1` stay two subjects in every run.

        Args:
            patient_id: as written in the files.
            person: what distinguishes this patient from others with the same PatientID, if there are any.
        """
        if not self.keep_patient_id:
            return self._digest("subject", f"{patient_id}\0{person}" if person else patient_id)
        kept = re.sub(r"[^a-zA-Z0-9]", "", patient_id)
        if kept != patient_id:
            kept += hashlib.sha256(patient_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return kept + (self._digest("person", f"{patient_id}\0{person}")[:8] if person else "")

    def unknown_subject(self, study_uid: str, person: str = "") -> str:
        """Pseudonym of a patient without a PatientID. UIDs are hashed even if PatientIDs are kept."""
        return self._digest("subject", f"{study_uid}\0{person}" if person else study_uid)

    def session(self, study_uid: str, date: str = "") -> str:
        """Pseudonym of a study, without the `ses-`. UIDs are hashed even if PatientIDs are kept.

        Args:
            study_uid: StudyInstanceUID.
            date: StudyDate, if one StudyInstanceUID stands for visits on several dates.
        """
        return self._digest("session", f"{study_uid}\0{date}" if date else study_uid)

    def _digest(self, kind: str, text: str) -> str:
        message = f"{kind}:{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:12]
