"""The kinds of damage to files in a work dir."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Harm = Callable[[Path, Path, random.Random], None]
"""Does the damage, given the work dir, that of another run, and a random generator."""
BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of damage."""

    title: str
    names: tuple[str, ...]
    """Files of which one must be named if the run does not resume."""
    harm: Harm
    present: tuple[str, ...] = ()
    """Files that this kind needs in the work dir."""


def truncated(path: Path, rng: random.Random, share: float) -> None:
    """Truncate a file to a share of its size."""
    os.truncate(path, int(path.stat().st_size * share))


def one_byte_short(path: Path, rng: random.Random) -> None:
    """Cut the last byte off."""
    os.truncate(path, path.stat().st_size - 1)


def flipped(path: Path, rng: random.Random, place: float) -> None:
    """Flip one bit at a position from 0, the first byte, to 1, the last one."""
    content = bytearray(path.read_bytes())
    content[int((len(content) - 1) * place)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def zeroed(path: Path, rng: random.Random) -> None:
    """Overwrite a block in the middle with zeros."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    block = content[middle : middle + BLOCK_BYTES]
    content[middle : middle + len(block)] = bytes(len(block))
    path.write_bytes(content)


def random_bytes(path: Path, rng: random.Random) -> None:
    """Replace a file with random bytes."""
    path.write_bytes(rng.randbytes(20_000))


def folder_instead(path: Path, rng: random.Random) -> None:
    """Replace a file with a folder that has a file in it."""
    if path.exists():
        path.unlink()
    path.mkdir()
    (path / "something").write_text("of the user's\n")


def locked_away(path: Path, rng: random.Random) -> None:
    """Remove all permissions, which does not stop root."""
    path.chmod(0)


def doubled(path: Path, rng: random.Random) -> None:
    """Write the lines of a file twice."""
    path.write_bytes(path.read_bytes() * 2)


def torn_line(path: Path, rng: random.Random) -> None:
    """End a file within a line."""
    os.truncate(path, path.stat().st_size - rng.randrange(2, 30))


def to_file(name: str, title: str, do: Callable[..., None], *more: object) -> Kind:
    """Return a kind that damages one existing file."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        do(work / name, rng, *more)

    return Kind(f"{name}: {title}", (name,), harm, (name,))


def put(name: str, title: str, text: str) -> Kind:
    """Return a kind that writes a text to a file, existing or not."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        (work / name).write_text(text)

    return Kind(f"{name}: {title}", (name,), harm)


def deleted(*names: str) -> Kind:
    """Return a kind that deletes files."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        for name in names:
            (work / name).unlink()

    return Kind(f"{' and '.join(names)}: deleted", names, harm, names)


def swapped(left: str, right: str) -> Kind:
    """Return a kind that swaps two files."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        (work / left).rename(work / "between")
        (work / right).rename(work / left)
        (work / "between").rename(work / right)

    return Kind(f"{left} and {right}: swapped", (left, right), harm, (left, right))


def of_other_run(name: str, *contradicts: str) -> Kind:
    """Return a kind that replaces a file with another run's, which contradicts other files."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        shutil.copyfile(other / name, work / name)

    return Kind(f"{name}: another run's", (name, *contradicts), harm, (name,))


def both(first: Kind, second: Kind) -> Kind:
    """Return a kind that does two others."""

    def harm(work: Path, other: Path, rng: random.Random) -> None:
        first.harm(work, other, rng)
        second.harm(work, other, rng)

    names = (*first.names, *second.names)
    present = (*first.present, *second.present)
    return Kind(f"{first.title}; {second.title}", names, harm, present)


def binary(name: str) -> list[Kind]:
    """Return the kinds for a weight file."""
    return [
        to_file(name, "empty", truncated, 0.0),
        to_file(name, "half of it", truncated, 0.5),
        to_file(name, "one byte short", one_byte_short),
        to_file(name, "a bit flipped at its beginning", flipped, 0.0),
        to_file(name, "a bit flipped in its middle", flipped, 0.5),
        to_file(name, "a bit flipped at its end", flipped, 1.0),
        to_file(name, "a block of zeros", zeroed),
        to_file(name, "random bytes", random_bytes),
        to_file(name, "a folder instead", folder_instead),
        of_other_run(name),
        deleted(name),
    ]


def text(name: str) -> list[Kind]:
    """Return the kinds for a text file."""
    return [
        to_file(name, "empty", truncated, 0.0),
        to_file(name, "half of it", truncated, 0.5),
        to_file(name, "random bytes", random_bytes),
        to_file(name, "a folder instead", folder_instead),
        deleted(name),
    ]


LATEST, PREVIOUS = "latest.pth", "previous.pth"
KINDS: tuple[Kind, ...] = (
    *binary(LATEST),
    to_file(LATEST, "without permissions", locked_away),
    to_file(PREVIOUS, "half of it", truncated, 0.5),
    to_file(PREVIOUS, "a folder instead", folder_instead),
    deleted(PREVIOUS),
    swapped(LATEST, PREVIOUS),
    swapped(LATEST, "best.pth"),
    deleted(LATEST, PREVIOUS),
    both(to_file(LATEST, "empty", truncated, 0.0), to_file(PREVIOUS, "half", truncated, 0.5)),
    both(
        to_file(LATEST, "a bit flipped", flipped, 0.4),
        to_file(PREVIOUS, "a bit flipped", flipped, 0.6),
    ),
    both(deleted(LATEST), to_file(PREVIOUS, "random bytes", random_bytes)),
    *binary("best.pth"),
    to_file("best.safetensors", "empty", truncated, 0.0),
    to_file("best.safetensors", "a bit flipped in its middle", flipped, 0.5),
    to_file("best.safetensors", "a folder instead", folder_instead),
    deleted("best.safetensors"),
    *text("record.json"),
    to_file("record.json", "a bit flipped in its middle", flipped, 0.5),
    of_other_run("record.json", LATEST),
    put("record.json", "a list instead of an object", "[]\n"),
    both(
        to_file("record.json", "half of it", truncated, 0.5),
        both(
            to_file(LATEST, "a bit flipped", flipped, 0.4),
            to_file(PREVIOUS, "a bit flipped", flipped, 0.6),
        ),
    ),
    both(deleted("record.json"), deleted(LATEST, PREVIOUS)),
    *text("config.py"),
    put("config.py", "a program that must not run", "raise SystemExit(77)\n"),
    *text("metrics.jsonl"),
    to_file("metrics.jsonl", "its last line torn", torn_line),
    to_file("metrics.jsonl", "every line twice", doubled),
    to_file("metrics.jsonl", "a bit flipped in its middle", flipped, 0.5),
    to_file("train.csv", "empty", truncated, 0.0),
    deleted("train.csv"),
    swapped("train.csv", "val.csv"),
    to_file("val.csv", "random bytes", random_bytes),
    put("memory.json", "random words", "what was learnt"),
    put("memory.json", "an absurd number", '{"accumulation": 1000000000}\n'),
    put("memory.json", "a word for a number", '{"accumulation": "two"}\n'),
    put("run.lock", "random words", "who was here"),
    put("run.lock", "empty", ""),
    put(".latest.pth.k2v9x0ab.autox-part", "a temporary file left behind", "half a checkpoint"),
    *text("train.log"),
    *text("split/train.csv"),
)
