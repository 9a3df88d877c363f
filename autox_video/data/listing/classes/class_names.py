"""Read the class name file, which contains one name per line, in index order."""

import re

from autox_video.config.settings import AUTO
from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most
from autox_video.data.clip_table import Names, Splits
from autox_video.data.listing.reading.list_text import numbered_lines, read_text
from autox_video.video.files.remote import RemoteFault, is_file, is_remote, join, sibling

_CLASS_NAMES = "classes.txt"
# Lines that occur only in JSON, YAML, XML, protobuf or Python, such as `names:` in YAML.
_NO_NAME = re.compile(r"[\[\](){},;]+|[\[{].*[\]},]|.*[\[{]|<[/?!\w][^>]*>.*|- .*|[A-Za-z]\w*:")
_NUMBERED = re.compile(r"([0-9]{1,9})(?:\s*[,;:=.)|]\s*|\s+)(\S.*)")
_HEADER = re.compile(r"[^\W\d]\w*\s*[,;\t|]\s*[^\W\d]\w*")


def read_class_names(file: str, data_root: str, train_list: str) -> Names | None:
    """Return the class names in `file`, or in classes.txt if `file` is AUTO.

    classes.txt is searched for next to the training list and in data_root. If there is no
    classes.txt, the result is None.

    Raises:
        ListingError: the file is missing, does not have one name per line, or repeats a name.
    """
    path = _find_class_names(data_root, train_list) if file == AUTO else file
    if path is None:
        return None
    try:
        text = read_text(path, "file")
    except ListingError as error:
        raise ListingError(*(f"class_names: {problem}" for problem in error.problems)) from error
    lines = list(numbered_lines(text))
    if not lines:
        raise ListingError(f"class_names: {path} is empty; write one class name per line.")
    _refuse_others(lines, path)
    first: dict[str, int] = {}
    problems = []
    for number, line in lines:
        name = _unquoted(line)
        if first.setdefault(name, number) != number:
            problems.append(f"{path}:{number}: class `{name}` is already in line {first[name]}.")
    if problems:
        raise ListingError(*at_most(problems))
    return tuple(first), path


def _refuse_others(lines: list[tuple[int, str]], path: str) -> None:
    number, line = lines[0]
    if len(lines) == 1 and re.search(r"[,;\t|]", line):
        raise ListingError(
            f"class_names: {path} has only one line, `{line[:60]}`; write one class name per line."
        )
    if _NO_NAME.fullmatch(line):
        raise ListingError(
            f"class_names: {path}:{number}: `{line[:60]}` is not a class name; the file must be "
            "plain text with one class name per line, not JSON or YAML."
        )


def _unquoted(name: str) -> str:
    is_quoted = len(name) > 2 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1].strip() if is_quoted else name


def without_numbers(names: Names | None, splits: Splits) -> tuple[Names | None, list[str]]:
    """Return the class names with leading indices removed, and a note if any were removed.

    Lines with leading indices look like `0 red` or `1,green`; the indices start at 0 or 1, may be
    in any order, and may follow a header line. Names that occur as labels in the lists are kept
    unchanged.
    """
    if names is None:
        return None, []
    lines, path = names
    if any(not set(split.labels or ()).isdisjoint(lines) for split in splits.values()):
        return names, []
    rows = lines[1:] if _HEADER.fullmatch(lines[0]) else lines
    matches = [_NUMBERED.fullmatch(line) for line in rows]
    if len(rows) < 2 or not all(matches):
        return names, []
    by_number = {int(match[1]): _unquoted(match[2]) for match in matches}
    numbers, first = sorted(by_number), _unquoted(matches[0][2])
    is_whole = numbers in (list(range(len(rows))), list(range(1, len(rows) + 1)))
    if not is_whole or len(set(by_number.values())) < len(rows):
        return names, []
    classes = tuple(by_number[number] for number in numbers)
    note = f"`{rows[0]}` is class {classes.index(first)}, `{first}`."
    return (classes, path), [f"{path}: lines are read as `NUMBER NAME`: {note}"]


def _find_class_names(data_root: str, train_list: str) -> str | None:
    candidates = [join(data_root, _CLASS_NAMES)]
    if train_list != AUTO:
        candidates.insert(0, sibling(train_list, _CLASS_NAMES))
    try:
        return next((path for path in candidates if is_file(path)), None)
    except RemoteFault as fault:
        address = next(path for path in candidates if is_remote(path))
        raise ListingError(f"{address.rpartition('/')[0]}: {fault}.") from fault
