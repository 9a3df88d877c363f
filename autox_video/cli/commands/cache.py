"""`autox-video cache`."""

import argparse
from pathlib import Path

from autox_video.core.console import say
from autox_video.core.disk_cache import DiskCache
from autox_video.core.errors import ResourceError
from autox_video.core.wording import counted

HELP = "show how much disk space cached frames and features take, or remove them"
EXAMPLES = (
    ("the caches in ~/.cache", "autox-video cache show"),
    ("the folder of the key `cache`", "autox-video cache clear /fast/frames"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the action and the cache folder."""
    parser.add_argument("action", choices=("show", "clear"), metavar="show|clear")
    parser.add_argument("folder", nargs="?", help="folder of the key `cache`; default: ~/.cache")


def run(options: argparse.Namespace) -> int:
    """Show or clear the given frame cache, or by default the user's frame and feature caches."""
    from autox_video.automl.probing import feature_store
    from autox_video.data.loading import frame_cache

    folders = {"frames": frame_cache.default_folder(), "features": feature_store.default_folder()}
    if options.folder:
        folders = {"frames": Path(options.folder)}
    if None in folders.values():
        raise ResourceError("cache: there is no home folder; give the folder of the cache.")
    if options.folder and not folders["frames"].is_dir():
        raise ResourceError(f"cache: there is no folder {folders['frames'].absolute()}.")
    for kind, folder in folders.items():
        cache = DiskCache(folder, suffix=f".{kind}")
        clips, size = cache.clear() if options.action == "clear" else cache.usage()
        what = "removed" if options.action == "clear" else "cached"
        of = counted(clips, "clip")
        say(f"{kind.capitalize()} of {of} {what}: {size / 2**30:.2f} GiB in {folder}.")
    return 0
