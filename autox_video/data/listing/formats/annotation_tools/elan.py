"""ELAN's annotation files (.eaf): annotations on the tiers of a recording."""

import xml.parsers.expat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.annotation_tools.entries import (
    Entry,
    Find,
    Problems,
    choose_field,
    clip_finder,
    table_of,
    well_formed,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.suffixes import is_video

_SUFFIX = ".eaf"
_ROOT = "<ANNOTATION_DOCUMENT"
_HEAD_CHARS = 2000
"""The root element of an .eaf file begins within this number of characters."""


@dataclass(slots=True)
class _Annotation:
    """An annotation with its time slots, or with the annotation that it refers to."""

    name: str
    tier: str
    line: int
    slots: tuple[str, str] | None
    parent: str = ""
    is_part: bool = False
    """Whether it is one of several that divide the time of their parent."""
    label: str = ""


@dataclass(slots=True)
class _Document:
    """The contents of an .eaf file."""

    file: str
    is_elan: bool = False
    unit: str = "milliseconds"
    media: list[Mapping[str, str]] = field(default_factory=list)
    """Attributes of the media descriptors; the first is that of the master media."""
    slots: dict[str, str] = field(default_factory=dict)
    """Time of each time slot in milliseconds; "" if the slot is not aligned."""
    annotations: dict[str, _Annotation] = field(default_factory=dict)


class Elan(ListFormat):
    """An .eaf file, or a folder of them: one file per recording, in which time is in ms."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if source.is_folder:
            return any(name.lower().endswith(_SUFFIX) for name in source.names)
        return source.text.lstrip()[:1] == "<" and _ROOT in source.text[:_HEAD_CHARS]

    def read(self, source: ListSource, reading: Reading) -> Table:
        files = [ListSource(str(Path(source.path, name))) for name in source.names]
        files = [file for file in files if file.path.lower().endswith(_SUFFIX)]
        documents = [_parse(file.text, file.path) for file in files or [source]]
        counts = Counter(
            annotation.tier
            for document in documents
            for annotation in document.annotations.values()
            if annotation.label
        )
        tier = choose_field(counts, reading.label_field, "tiers", source.path)
        find, entries, problems, notes = clip_finder(reading.tree), [], [], []
        for document in documents:
            found = Problems(document.file)
            with well_formed(document.file, "an ELAN file"):
                video, origin_ms = _video_of(document, find, notes)
                entries += _entries(document, tier, video, origin_ms, found)
            problems += found.messages
        table = table_of(entries, problems, source, find=find)
        table.notes = [*notes, *table.notes]
        return table.labelled()


LIST_FORMATS.register("elan")(Elan())


# ---- reading ----


def _parse(text: str, file: str) -> _Document:
    """Return the contents of an .eaf file; raises ListingError if it is not one.

    A file with a document type definition is refused, so no entity is ever expanded or fetched.
    """
    reader = _Reader(file)
    try:
        reader.parser.Parse(text, True)
    except xml.parsers.expat.ExpatError as error:
        what = xml.parsers.expat.ErrorString(error.code)
        raise ListingError(f"{file}:{error.lineno}: this is not valid XML ({what}).") from error
    except KeyError as error:
        line = reader.parser.CurrentLineNumber
        raise ListingError(f"{file}:{line}: this element has no attribute {error}.") from error
    document = reader.document
    if not document.is_elan:
        raise ListingError(f"{file}:1: this is not an annotation file of ELAN.")
    if document.unit != "milliseconds":
        raise ListingError(
            f"{file}: its times are in {document.unit}, not in milliseconds; save it again in ELAN."
        )
    return document


class _Reader:
    """Handlers of the elements of an .eaf file, which fill a `_Document`."""

    def __init__(self, file: str) -> None:
        self.document = _Document(file)
        self.parser = xml.parsers.expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add_text
        self._tier, self._text = "", ""
        self._annotation: _Annotation | None = None

    def _refuse(self, *declaration: object) -> None:
        raise ListingError(
            f"{self.document.file}:{self.parser.CurrentLineNumber}: the file has a document type "
            "definition (DOCTYPE), which ELAN never writes; save it again in ELAN."
        )

    def _start(self, name: str, given: Mapping[str, str]) -> None:
        document, line = self.document, self.parser.CurrentLineNumber
        self._text = ""
        if name == "ANNOTATION_DOCUMENT":
            document.is_elan = True
        elif name == "HEADER":
            document.unit = given.get("TIME_UNITS", document.unit)
            if given.get("MEDIA_FILE"):  # in files of ELAN 2
                document.media.append({"MEDIA_URL": given["MEDIA_FILE"]})
        elif name == "MEDIA_DESCRIPTOR":
            document.media.append(dict(given))
        elif name == "TIME_SLOT":
            document.slots[given["TIME_SLOT_ID"]] = given.get("TIME_VALUE", "")
        elif name == "TIER":
            self._tier = given["TIER_ID"]
        elif name == "ALIGNABLE_ANNOTATION":
            slots = given["TIME_SLOT_REF1"], given["TIME_SLOT_REF2"]
            self._annotation = _Annotation(given["ANNOTATION_ID"], self._tier, line, slots)
        elif name == "REF_ANNOTATION":
            self._annotation = _Annotation(
                given["ANNOTATION_ID"],
                self._tier,
                line,
                None,
                parent=given["ANNOTATION_REF"],
                is_part="PREVIOUS_ANNOTATION" in given,
            )

    def _add_text(self, text: str) -> None:
        self._text += text

    def _end(self, name: str) -> None:
        if self._annotation is None:
            return
        if name == "ANNOTATION_VALUE":
            self._annotation.label = " ".join(self._text.split())
        elif name in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            self.document.annotations[self._annotation.name] = self._annotation
            self._annotation = None


# ---- what was read ----


def _video_of(document: _Document, find: Find, notes: list[str]) -> tuple[str, int]:
    """Return the path of the recording's video, and its time in ms at which the time line starts.

    Of several videos under data_root, the first is used, which is the master media of ELAN.

    Raises:
        ListingError: the file names no video.
    """
    media = [about for about in document.media if _is_of_video(about)]
    if not media:
        raise ListingError(
            f"{document.file}: there is no video among its linked files (media descriptors)."
        )
    keys = ("MEDIA_URL", "RELATIVE_MEDIA_URL")
    urls = [(about[key], about) for about in media for key in keys if about.get(key)]
    found = {find(url): (url, about) for url, about in reversed(urls) if find(url)}
    if len(found) > 1:
        *others, used = found
        notes.append(
            f"{document.file}: only `{used}` is read of {len(found)} videos of the recording, "
            f"without {', '.join(reversed(others))}."
        )
    url, about = list(found.values())[-1] if found else urls[0]
    return url, int(about.get("TIME_ORIGIN") or 0)


def _is_of_video(about: Mapping[str, str]) -> bool:
    urls = about.get("MEDIA_URL", ""), about.get("RELATIVE_MEDIA_URL", "")
    return any(urls) and (
        about.get("MIME_TYPE", "").startswith("video") or any(map(is_video, urls))
    )


def _entries(
    document: _Document, tier: str, video: str, origin_ms: int, problems: Problems
) -> Iterator[Entry]:
    """Yield the annotations on a tier that have times."""
    for annotation in document.annotations.values():
        if annotation.tier != tier:
            continue
        where = f"annotation {annotation.name} on tier `{tier}`"
        try:
            times = tuple(
                origin_ms + _time_of(slot, document) for slot in _slots_of(annotation, document)
            )
        except ValueError as error:
            problems.add(where, error, annotation.line)
            continue
        yield Entry(
            where, video, annotation.label, times, "ms", line=annotation.line, file=document.file
        )


def _slots_of(annotation: _Annotation, document: _Document) -> tuple[str, str]:
    """Return the time slots of an annotation or of the one that it refers to."""
    seen = set()
    while annotation.slots is None:
        seen.add(annotation.name)
        if annotation.is_part:
            raise ValueError("it shares the time of another annotation, and has no times itself")
        if annotation.parent in seen or annotation.parent not in document.annotations:
            raise ValueError(f"there is no annotation {annotation.parent} with times")
        annotation = document.annotations[annotation.parent]
    return annotation.slots


def _time_of(slot: str, document: _Document) -> int:
    """Return the time of a slot in ms; raises ValueError if it has none."""
    time = document.slots.get(slot)
    if time is None:
        raise ValueError(f"there is no time slot {slot}")
    if not time.isascii() or not time.isdigit():
        raise ValueError(f"time slot {slot} is not aligned to the time line")
    return int(time)
