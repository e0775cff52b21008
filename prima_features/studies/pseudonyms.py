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

    def subject(self, patient_id: str) -> str:
        """Pseudonym of a patient, without the `sub-`."""
        if self.keep_patient_id:
            return re.sub(r"[^a-zA-Z0-9]", "", patient_id) or "unknown"
        return self._digest("subject", patient_id)

    def session(self, study_uid: str) -> str:
        """Pseudonym of a study, without the `ses-`. UIDs are hashed even where patient ids are kept."""
        return self._digest("session", study_uid)

    def _digest(self, kind: str, text: str) -> str:
        return hmac.new(self.key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()[:12]
