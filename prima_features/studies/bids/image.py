"""One image of a BIDS dataset, and what its name and folders say.

Names are parsed by bids2table. Its `index_dataset` is not used: in 2.3.1 it passes over images whose names do
not start with `sub-` without a word, finds nothing in a dataset whose folder has a dot in its name, and
remembers for the life of the process what a folder was on first sight.
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
        """Without `ses-`; empty where there are no sessions."""
        return self.entities.get("ses", "")

    @property
    def study(self) -> str:
        """Id of the study it belongs to."""
        return study_id(self.subject, self.session)

    @property
    def datatype(self) -> str:
        """The folder it lies in."""
        return self.entities["datatype"]

    @property
    def suffix(self) -> str:
        """The last word of its name; empty where that is an entity."""
        return self.entities.get("suffix", "")


def parse_image(path: Path, source: str, subject: str, session: str) -> BidsImage | Failure:
    """The image at `path`, which lies in the folders of a subject and session; or what its name contradicts.

    Args:
        source: its path below the dataset.
        session: empty where it lies in no session's folder; its name may then still say one.
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
