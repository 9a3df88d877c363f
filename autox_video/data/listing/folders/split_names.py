"""Recognise the names of the training, validation and test splits in many spellings."""

import re

_NAMES = {
    "train": ("train", "training", "trn"),
    "val": (
        *("val", "valid", "validation", "validate", "validating", "dev", "devel", "development"),
        *("eval", "evaluation"),
    ),
    "test": ("test", "testing", "tests", "tst", "holdout", "heldout"),
}
_WORDS = {name: split for split, names in _NAMES.items() for name in names}
# Words that may surround the name of a split, as in train_data, TrainingSet, X_train or
# train_videos_v2.
_AROUND = (
    "set|sets|data|dataset|videos?|vids?|clips?|movies?|files?|samples?|splits?|part|partition|"
    "subset|folder|dir|list|frames|rawframes|images?|imgs?|raw|all|full|final|my|new|v|x|hold|held|out"
)
_SPLIT_WORD = re.compile(
    rf"(?:{_AROUND})*?({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?:{_AROUND})*"
)
_AROUND_WORD = re.compile(rf"(?:{_AROUND})*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BETWEEN = re.compile(r"[\W\d_]+")
_HELD_OUT = re.compile(r"(hold|held)[ _-]?out", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """Return the split that a folder or value is named after; None if it names no split.

    Recognised names include Training_set, 01_train, valData and hold-out.
    """
    split, rest = parse_split(name)
    return None if rest else split


def parse_split(name: str) -> tuple[str | None, str]:
    """Return the split in a name, if there is exactly one, and the rest of the name."""
    splits, rest = [], []
    name = _HELD_OUT.sub("holdout", name)
    for word in _BETWEEN.split(_CAMEL.sub(" ", name).lower()):
        if match := _SPLIT_WORD.fullmatch(word):
            splits.append(_WORDS[match[1]])
        elif not _AROUND_WORD.fullmatch(word):
            rest.append(word)
    return (splits[0] if len(splits) == 1 else None), " ".join(rest)
