"""`autox-video weights`."""

import argparse
from collections.abc import Iterator

from autox_video.core.console import say
from autox_video.core.errors import ConfigError

HELP = "list pretrained weights, fetch them, or show which are on this machine"
EXAMPLES = (
    ("all known weights, the best first", "autox-video weights list"),
    ("fetch some for later, or for a machine without a network", "autox-video weights fetch NAME"),
    ("the folders of weights, and what is in them", "autox-video weights where"),
)
LATER = "a run fetches the weights it needs by itself, if there is a network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the action and the name of the weights."""
    actions = ("list", "fetch", "where")
    parser.add_argument(
        "action", nargs="?", choices=actions, default="list", metavar="list|fetch|where"
    )
    parser.add_argument("name", nargs="?", help="name of the weights to fetch, as `list` shows it")
    parser.add_argument(
        "--noncommercial", action="store_true", help="also fetch weights not for commercial use"
    )


def run(options: argparse.Namespace) -> int:
    """List the known weights, fetch weights by name, or show where weights are stored.

    Raises:
        ConfigError: no weights have the given name, or their licence is not accepted.
        FetchError: the weights cannot be fetched.
        ResourceError: the cache is not writable, or the disk is full.
    """
    if (options.action == "fetch") != bool(options.name):
        raise ConfigError(
            "weights: `fetch` needs a name, as in `autox-video weights fetch x3d_m-k400`; `list` "
            "and `where` take no name."
        )
    actions = {"list": _list, "where": _where}
    for line in actions[options.action]() if not options.name else _fetch(options):
        say(line)
    return 0


def _list() -> Iterator[str]:
    from autox_video.automl.starting_weights import weight_folders
    from autox_video.backbones.weights.known_weights import KNOWN_FILES

    yield f"Known weights, the best first; {LATER}:"
    for known in KNOWN_FILES:
        top1 = "" if known.top1 is None else f", top-1 {known.top1:g}% ({known.protocol})"
        terms = ", not for commercial use" if known.noncommercial else ""
        here = "; on this machine" if known.path_in(weight_folders()) else ""
        yield ""
        yield f"{known.name}"
        yield f"  {known.backbone}: {known.source}{top1}, {known.size_mib} MiB{here}"
        yield f"  {known.licence}{terms}, {known.url}"


def _where() -> Iterator[str]:
    from autox_video.automl.starting_weights import weight_folders
    from autox_video.backbones.weights.known_weights import KNOWN_FILES
    from autox_video.backbones.weights.local_copies import hub_folder, torch_folder

    yield "Folders that are searched for weights, in this order:"
    caches = ("torch", torch_folder()), ("Hugging Face hub", hub_folder())
    for what, folder in (*(("yours", folder) for folder in weight_folders()), *caches):
        there = "" if folder.is_dir() else " (not there)"
        yield f"  {folder} ({what}){there}"
    found = [(known, known.path_in(weight_folders())) for known in KNOWN_FILES]
    found = [(known, path) for known, path in found if path is not None]
    yield "Known weights in them:" if found else "No known weights are in them."
    for known, path in found:
        yield f"  {known.name}: {path.stat().st_size / 2**20:.1f} MiB, {path}"


def _fetch(options: argparse.Namespace) -> Iterator[str]:
    from autox_video.automl.fetched_weights import Terms, fetch_named
    from autox_video.automl.starting_weights import weight_folders

    terms = Terms(noncommercial=options.noncommercial)
    path = fetch_named(options.name, weight_folders(), terms)
    yield f"{options.name} is in {path}."
