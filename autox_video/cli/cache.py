"""`autox-video cache`."""

import argparse
from pathlib import Path

from autox_video.core.console import say
from autox_video.core.disk_cache import DiskCache
from autox_video.core.errors import ResourceError
from autox_video.core.wording import counted

HELP = "say how much the decoded frames take, or remove them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is done, and to which cache."""
    parser.add_argument("action", choices=("show", "clear"))
    parser.add_argument("folder", nargs="?", help="the cache that `cache: DIR` names, if any")


def run(options: argparse.Namespace) -> int:
    """Show or clear a cache of frames; with the cache of the user, that of features too."""
    from autox_video.automl.probing import feature_store
    from autox_video.data.loading import frame_cache

    folders = {"frames": frame_cache.default_folder(), "features": feature_store.default_folder()}
    if options.folder:
        folders = {"frames": Path(options.folder)}
    if None in folders.values():
        raise ResourceError("cache: there is no home folder; name the folder of the cache.")
    if options.folder and not folders["frames"].is_dir():
        raise ResourceError(f"cache: there is no folder {folders['frames'].absolute()}.")
    for kind, folder in folders.items():
        cache = DiskCache(folder, suffix=f".{kind}")
        clips, size = cache.clear() if options.action == "clear" else cache.usage()
        what = "Removed" if options.action == "clear" else "Kept are"
        say(f"{what} the {kind} of {counted(clips, 'clip')}, {size / 2**30:.2f} GiB, in {folder}.")
    return 0
