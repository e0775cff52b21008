"""Subject and session labels, and the study ids made of them: `sub-X` or `sub-X_ses-Y`."""

import hashlib
import re
import unicodedata

MAX_LABEL = 64
"""Characters of a label that is derived from a name. Ids become file names, which most disks limit to 255 bytes."""


def study_id(subject: str, session: str = "") -> str:
    """Id of a study from labels without prefixes."""
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def split_id(study: str) -> tuple[str, str]:
    """Subject and session labels in a study's id; the session may be empty."""
    subject, _, session = study.removeprefix("sub-").partition("_ses-")
    return subject, session


def bare(label: str, prefix: str) -> str:
    """`sub-01` and ` 01 ` alike to `01`, in composed Unicode characters (NFC)."""
    return nfc(label).strip().removeprefix(prefix)


def nfc(text: str) -> str:
    """Text in Unicode's composed form: macOS and others spell one name in different code points."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def safe_label(text: str) -> str:
    """A label that BIDS allows, and every file system: letters and digits only.

    Text without any of these, such as a name in Chinese characters, becomes a digest of itself. Composed and decomposed
    spellings of one text (NFC and NFD) give one label. Labels longer than `MAX_LABEL` are cut, and end in a digest.
    """
    text = nfc(text)
    label = re.sub(r"[^a-zA-Z0-9]", "", text) or digest(text)
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 8] + digest(text)


def digest(text: str) -> str:
    """Eight hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
