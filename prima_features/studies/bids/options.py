"""The user's options for BIDS datasets, and the decision about each image."""

from dataclasses import dataclass

from prima_features.errors import UsageError
from prima_features.studies.bids.choice import DATATYPES, ENTITIES, ENTITIES_AT_ALL, NOT_PICTURES, SUFFIXES
from prima_features.studies.bids.filters import BidsFilter
from prima_features.studies.bids.image import BidsImage


@dataclass(frozen=True)
class BidsOptions:
    """Options of the BIDS finder, which override the defaults in `prima_features.studies.bids.choice`.

    Raises:
        UsageError: a datatype or suffix is empty.
    """

    datatypes: tuple[str, ...] = ()
    """Embed only from these (`anat`, `func`, ...): the suffixes that are embedded by default, or all if the datatype
    has no default choice."""
    suffixes: tuple[str, ...] = ()
    """Embed only these (`T1w`, `bold`, ...), from every datatype unless `datatypes` is given."""
    filters: tuple[BidsFilter, ...] = ()
    """Queries that restrict the images (`read_filters`)."""

    def __post_init__(self) -> None:
        for name, values in (("datatype", self.datatypes), ("suffix", self.suffixes)):
            if any(not value.strip() for value in values):
                raise UsageError(
                    f"The {name} to embed is empty; give one, such as {'anat' if name == 'datatype' else 'T1w'}"
                )

    def why_not(self, image: BidsImage) -> tuple[str, str]:
        """Why an image is left out and how to embed it anyway; two empty strings if it is embedded."""
        return self._by_datatype(image) or self._by_suffix(image) or self._by_entities(image) or ("", "")

    def is_misspelled(self, image: BidsImage) -> bool:
        """Whether its datatype and suffix would be embedded if they were written in the right case."""
        if self.datatypes or self.suffixes:
            return False
        suffixes = SUFFIXES.get(image.datatype.lower(), {})
        right = {name.lower() for name, reason in suffixes.items() if not reason}
        exact = image.datatype in SUFFIXES and image.suffix in suffixes
        return image.suffix.lower() in right and not exact

    def _by_datatype(self, image: BidsImage) -> tuple[str, str] | None:
        datatype = image.datatype
        if self.datatypes:
            names = ", ".join(self.datatypes)
            return None if datatype in self.datatypes else (f"only the datatype {names} is selected", "")
        if self.suffixes:
            return None
        reason = DATATYPES.get(datatype, f"BIDS has no datatype {datatype}")
        return (reason, f"name {datatype} with --datatype to embed it") if reason else None

    def _by_suffix(self, image: BidsImage) -> tuple[str, str] | None:
        suffix, hint = image.suffix, f"name {image.suffix} with --suffix to embed it"
        if not suffix:
            return "its name does not end in a BIDS suffix such as T1w", "rename the file"
        if self.suffixes:
            names = ", ".join(self.suffixes)
            return None if suffix in self.suffixes else (f"only the suffix {names} is selected", "")
        if suffix in NOT_PICTURES:
            return NOT_PICTURES[suffix], ""
        table = SUFFIXES.get(image.datatype, {suffix: ""})
        reason = table.get(suffix, f"BIDS has no {suffix} image in {image.datatype}")
        return (reason, hint) if reason else None

    def _by_entities(self, image: BidsImage) -> tuple[str, str] | None:
        concerned = [query for query in self.filters if query.concerns(image.entities)]
        matched = [query for query in concerned if query.matches(image.entities)]
        if concerned and not matched:
            names = ", ".join(query.name for query in concerned if query.name)
            return f"the filter file excludes it{f' ({names})' if names else ''}", ""
        decided = frozenset().union(*(query.named for query in matched))
        for entity, value in image.entities.items():
            reason = ENTITIES_AT_ALL.get(entity, "") or ENTITIES.get(entity, {}).get(value.lower(), "")
            if reason and entity not in decided:
                return reason, f"select {entity} {value} in a filter file to embed it"
        return None
