"""Subject and session labels, and the study ids made of them: `sub-X` or `sub-X_ses-Y`."""

import hashlib
import re


def study_id(subject: str, session: str = "") -> str:
    """Id of a study from labels without prefixes."""
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def split_id(study: str) -> tuple[str, str]:
    """Subject and session labels in a study's id; the session may be empty."""
    subject, _, session = study.removeprefix("sub-").partition("_ses-")
    return subject, session


def bare(label: str, prefix: str) -> str:
    """`sub-01` and ` 01 ` alike to `01`."""
    return label.strip().removeprefix(prefix)


def safe_label(text: str) -> str:
    """A label that BIDS allows, and every file system: letters and digits only.

    Text without any of these, such as a name in Chinese characters, becomes a digest of itself.
    """
    return re.sub(r"[^a-zA-Z0-9]", "", text) or digest(text)


def digest(text: str) -> str:
    """Eight hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
