"""Which participants and sessions of a source are wanted."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from prima_features.errors import UsageError
from prima_features.studies.labels import bare, nfc, split_id
from prima_features.studies.study import Found, Study

_EXAMPLES = 5


@dataclass(frozen=True)
class Selection:
    """Labels with or without `sub-` and `ses-`; none given means all.

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
        """Whether a subject, named without `sub-`, is wanted."""
        return not self.participants or label in self.participants

    def takes_session(self, label: str) -> bool:
        """Whether a session, named without `ses-`, is wanted; a study without session is `""`."""
        return not self.sessions or label in self.sessions

    def check_participants(self, there: Collection[str]) -> None:
        """Raise UsageError unless every participant that was asked for is there."""
        _check("participant", self.participants, there)

    def check_sessions(self, there: Collection[str]) -> None:
        """Raise UsageError unless some selected participant has each session that was asked for."""
        _check("session", self.sessions, there)

    def apply(self, found: Found) -> Found:
        """What of `found` is wanted. A DICOM study is selected by its pseudonym or by its PatientID.

        Raises:
            UsageError: a participant or session that was asked for is not there.
        """
        if not found.studies:  # why nothing is usable is more than who is not there
            return found
        names = set[str]().union(*map(_subject_names, found.studies))
        missing = [label for label in self.participants if label not in names]
        # What stands in an error must not be a PatientID, so only subjects are offered.
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
        """Whether a study is wanted that nothing is known of but its id, since all of it is left out."""
        subject, session = split_id(study)
        return self.takes_participant(subject) and self.takes_session(session)


def _subject_names(study: Study) -> set[str]:
    """What a user may call the subject: as the source has it, as the id has it, or by PatientID."""
    patient = {study.identity.patient_id} if study.identity else set()
    return {nfc(study.subject), split_id(study.id)[0]} | patient


def _session_names(study: Study) -> set[str]:
    return {nfc(study.session), split_id(study.id)[1]}


def _bare_labels(labels: Iterable[str], prefix: str) -> tuple[str, ...]:
    stripped = tuple(bare(label, prefix) for label in labels)
    if "" in stripped:
        raise UsageError(f"A selection has an empty label; write for example {prefix}01 or 01")
    return stripped


def _check(kind: str, wanted: Iterable[str], there: Collection[str]) -> None:
    missing = [label for label in wanted if label not in there]
    if not missing:
        return
    label = missing[0]
    asked = f"There is no {kind} {label}" + (f" (nor {_listed(missing[1:])})" if missing[1:] else "")
    names = sorted(name for name in there if name)
    if not names:
        raise UsageError(f"{asked}: the source has no {kind}s")
    near = [name for name in names if name.lstrip("0") == label.lstrip("0")]
    near = near or get_close_matches(label, names, n=3)
    if near:
        raise UsageError(f"{asked}; did you mean {' or '.join(near)}?")
    raise UsageError(f"{asked} among the {len(names)}: {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
