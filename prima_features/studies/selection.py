"""Selecting participants and sessions of a source."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from prima_features.errors import UsageError
from prima_features.studies.labels import bare, nfc, split_id
from prima_features.studies.study import Found, Study

_EXAMPLES = 5


@dataclass(frozen=True)
class Selection:
    """Selected labels, with or without `sub-` and `ses-`; empty for all.

    Composed and decomposed Unicode spellings (NFC and NFD) of one label are the same label.

    Raises:
        UsageError: a label is empty.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "participants", _bare_labels(self.participants, "sub-"))
        object.__setattr__(self, "sessions", _bare_labels(self.sessions, "ses-"))

    def takes_participant(self, label: str) -> bool:
        """Whether a subject (label without `sub-`) is selected."""
        return not self.participants or label in self.participants

    def takes_session(self, label: str) -> bool:
        """Whether a session (label without `ses-`; empty without sessions) is selected."""
        return not self.sessions or label in self.sessions

    def check_participants(self, existing: Collection[str]) -> None:
        """Raise UsageError if a selected participant is not among those given."""
        _check("participant", self.participants, existing)

    def check_sessions(self, existing: Collection[str]) -> None:
        """Raise UsageError if a selected session is not among those given (of the selected participants)."""
        _check("session", self.sessions, existing)

    def apply(self, found: Found) -> Found:
        """The selected studies of `found`. A DICOM study is selected by its pseudonym or its PatientID.

        Raises:
            UsageError: a selected participant or session does not exist.
        """
        if not found.studies:  # the reasons why nothing is usable are more helpful
            return found
        names = set[str]().union(*map(_subject_names, found.studies))
        missing = [label for label in self.participants if label not in names]
        # Errors must not contain PatientIDs, so only subjects are suggested.
        _check("participant", missing, {study.subject for study in found.studies})
        theirs = [s for s in found.studies if any(map(self.takes_participant, _subject_names(s)))]
        self.check_sessions({session for study in theirs for session in _session_names(study)})
        kept = [s for s in theirs if any(map(self.takes_session, _session_names(s)))]
        dropped = {study.id for study in found.studies} - {study.id for study in kept}
        reported = {"", *(study.id for study in kept)}
        left_out = tuple(
            item
            for item in found.left_out
            if item.study in reported or (item.study not in dropped and self._takes(item.study))
        )
        return replace(found, studies=tuple(kept), left_out=left_out)

    def _takes(self, study: str) -> bool:
        """Whether a study is selected of which only the id is known, because all of it is left out."""
        subject, session = split_id(study)
        return self.takes_participant(subject) and self.takes_session(session)


def _subject_names(study: Study) -> set[str]:
    """Names by which users may select the subject: as in the source, as in the id, or the PatientID."""
    patient = {study.identity.patient_id} if study.identity else set()
    return {nfc(study.subject), split_id(study.id)[0]} | patient


def _session_names(study: Study) -> set[str]:
    return {nfc(study.session), split_id(study.id)[1]}


def _bare_labels(labels: Iterable[str], prefix: str) -> tuple[str, ...]:
    stripped = tuple(bare(label, prefix) for label in labels)
    if "" in stripped:
        raise UsageError(f"A selection has an empty label; write for example {prefix}01 or 01")
    return stripped


def _check(kind: str, selected: Iterable[str], existing: Collection[str]) -> None:
    missing = [label for label in selected if label not in existing]
    if not missing:
        return
    label = missing[0]
    asked = f"There is no {kind} {label}" + (f" (nor {_listed(missing[1:])})" if missing[1:] else "")
    names = sorted(name for name in existing if name)
    if not names:
        raise UsageError(f"{asked}: the source has no {kind}s")
    near = [name for name in names if name.lstrip("0") == label.lstrip("0")]
    near = near or get_close_matches(label, names, n=3)
    if near:
        raise UsageError(f"{asked}; did you mean {' or '.join(near)}?")
    raise UsageError(f"{asked} among the {len(names)}: {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
