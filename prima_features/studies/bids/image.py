"""One image of a BIDS dataset, with the entities of its name and folders.

Names are parsed by bids2table. Its `index_dataset` is not used: version 2.3.1 silently skips images whose names do not
start with `sub-`, finds nothing in a dataset whose folder has a dot in its name, and caches folders for the lifetime of
the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prima_features.studies.labels import study_id
from prima_features.studies.study import Failure, not_embedded


@dataclass(frozen=True)
class BidsImage:
    """A NIfTI file."""

    path: Path
    source: str
    """Path below the dataset, with `/`."""
    entities: Mapping[str, str]
    """By BIDS's short names, as written: `sub`, `ses`, `run`, ..., and `datatype`, `suffix`, `ext`."""

    @property
    def subject(self) -> str:
        """Without `sub-`."""
        return self.entities["sub"]

    @property
    def session(self) -> str:
        """Without `ses-`; empty without sessions."""
        return self.entities.get("ses", "")

    @property
    def study(self) -> str:
        """Id of the study it belongs to."""
        return study_id(self.subject, self.session)

    @property
    def datatype(self) -> str:
        """Name of its folder."""
        return self.entities["datatype"]

    @property
    def suffix(self) -> str:
        """The last word of its name; empty if that is an entity."""
        return self.entities.get("suffix", "")


def parse_image(path: Path, source: str, subject: str, session: str) -> BidsImage | Failure:
    """The image at `path`, or a `Failure` if its name contradicts its folders.

    Args:
        path: the file.
        source: its path below the dataset.
        subject: label of the subject's folder.
        session: label of the session's folder; empty without one. The name may then still contain a session.
    """
    from bids2table import parse_bids_entities

    study = study_id(subject, session)
    entities = parse_bids_entities(path.name) | {"datatype": path.parent.name}
    if not path.name.startswith("sub-"):
        reason = f"its name is not a valid BIDS name: it does not start with sub-{subject}"
        return not_embedded(study, source, reason, "rename it, or list it in a manifest", defect=True)
    if entities["sub"] != subject or (session and entities.get("ses", session) != session):
        named = study_id(entities["sub"], entities.get("ses", ""))
        reason = f"its name says {named}, but it is in the folder of {study}"
        return not_embedded(study, source, reason, "rename it or move it", defect=True)
    return BidsImage(path, source, entities | ({"ses": session} if session else {}))
