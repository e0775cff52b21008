"""The series' name that the sequence encoder reads (the rule of Prima's public pipeline)."""

import re

NAMELESS = "UNK-"
"""What stands for the name of a series that has none, before its SeriesInstanceUID."""
_REPLACED = {"+": "_plus_", "*": "_star_"}


def clean(text: str) -> str:
    """`+` and `*` spelled out, every other character outside a-z A-Z 0-9 replaced by `_`."""
    return re.sub(r"[^a-zA-Z0-9]", lambda match: _REPLACED.get(match[0], "_"), text)


def is_named(name: str) -> bool:
    """Whether a series' name is one, and does not say its UID alone."""
    return not name.startswith(NAMELESS)


def series_name(description: str, protocol: str) -> str:
    """Name from DICOM's SeriesDescription and ProtocolName, or from the sidecar's fields of that name.

    Returns an empty string where both are empty: the caller knows what stands in.
    """
    description, protocol = clean(description), clean(protocol)
    if not protocol or description == protocol:
        return description
    return f"{description}-{protocol}-Protocol" if description else f"{protocol}-Protocol"
