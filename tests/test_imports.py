"""Who may import whom: downward only, and the light rooms bring nothing heavy.

ROWS is the order of the rooms, lowest first: a file may import from the rows above its own.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "autox_video"

# `x.*` is every file of that package: among themselves they may import, but not in a circle.
ROWS = [
    "errors",
    "fileio",
    "console",
    "allocator",
    "processes",
    "run_lock",
    "run_files",
    "budget",
    "durations",
    "installation",
    "mm_compat",
    "mm_import",
    "config_file",
    "sized_folder",
    "setting_types",
    "settings",
    "read_settings",
    "command_line",
    "dataset.remote",
    "dataset.remote_cache",
    "dataset.file_kinds",
    "dataset.video_file",
    "dataset.suffixes",
    "dataset.packet_index",
    "dataset.timeline",
    "dataset.orientation",
    "dataset.video_stream",
    "dataset.counting",
    "dataset.promised_length",
    "dataset.media_file",
    "dataset.frame_clock",
    "dataset.frame_rgb",
    "dataset.frame_folder",
    "dataset.animated_webp",
    "dataset.decode_pyav",
    "dataset.decode_numbered",
    "dataset.decode_torchcodec",
    "dataset.decode_decord",
    "dataset.decode",
    "dataset.groups",
    "dataset.hashing",
    "dataset.fingerprint",
    "dataset.scene",
    "dataset.clip_facts",
    "dataset.probe_cache",
    "dataset.probe_process",
    "dataset.probe",
    "dataset.entries",
    "dataset.spelling",
    "dataset.boundary",
    "dataset.segments",
    "dataset.split_words",
    "dataset.columns",
    "dataset.list_text",
    "dataset.csv_lists",
    "dataset.text_lists",
    "dataset.list_files",
    "dataset.folder_walk",
    "dataset.split_folders",
    "dataset.folders",
    "dataset.near_names",
    "dataset.class_names",
    "dataset.class_labels",
    "dataset.folds",
    "dataset.stratify",
    "dataset.splits",
    "dataset.clip_tree",
    "dataset.missing_clips",
    "dataset.listed_clips",
    "dataset.frame_counts",
    "dataset.reader_pool",
    "dataset.loader",
    "dataset.frame_segments",
    "dataset.formats_official",
    "dataset.json_rows",
    "dataset.json_lists",
    "dataset.formats_cloud",
    "dataset.formats",
    "dataset.given_lists",
    "dataset.repeats",
    "dataset.listing",
    "dataset.sources",
    "dataset.recordings",
    "dataset.probed_listing",
    "dataset.health",
    "dataset.sampling",
    "coverage",
    "dataset.frame_cache",
    "dataset.transforms",
    "dataset.clips",
    "dataset.demo",
    "plan.group_limits",
    "plan.hardware",
    "launch",
    "torchrun",
    "doctor",
    "plan.source",
    "plan.augmentation",
    "plan.backbones",
    "plan.batch",
    "plan.optimization",
    "plan.clip_shape",
    "plan.choose",
    "plan.search_space",
    "plan.choose_cache",
    "plan.prediction",
    "plan.cutting",
    "plan.choose_time",
    "plan.evidence",
    "plan.peak",
    "plan.resume",
    "run_record",
    "run_data",
    "scores",
    "results",
    "selection_bias",
    "kept_results",
    "calibration",
    "headline",
    "leaderboard",
    "models.*",
    "stored_config",
    "config_check",
    "recipe",
    "engine.*",
    "trial_run",
    "study",
    "search",
    "predict",
    "features.store",
    "features.samples",
    "features.linear",
    "features.attentive",
    "features.crossval",
    "features.mirroring",
    "features.extract",
    "finishing",
    "clip_review",
    "prepare",
    "crossvalidation",
    "refit",
    "candidates",
    "probing",
    "check",
    "planning",
    "tested_clips",
    "testing",
    "training",
    "api",
    "cli",
    "__main__",
]

LIGHT = [
    "",
    "errors",
    "fileio",
    "console",
    "allocator",
    "processes",
    "run_lock",
    "run_files",
    "budget",
    "durations",
    "installation",
    "mm_import",
    "config_file",
    "sized_folder",
    "setting_types",
    "settings",
    "read_settings",
    "command_line",
    "dataset.remote",
    "dataset.remote_cache",
    "dataset.suffixes",
    "dataset.entries",
    "dataset.boundary",
    "dataset.spelling",
    "dataset.segments",
    "dataset.split_words",
    "dataset.columns",
    "dataset.list_text",
    "dataset.csv_lists",
    "dataset.text_lists",
    "dataset.near_names",
    "dataset.listed_clips",
    "dataset.frame_counts",
    "dataset.frame_segments",
    "dataset.json_rows",
    "dataset.json_lists",
    "dataset.list_files",
    "dataset.folder_walk",
    "dataset.split_folders",
    "dataset.folders",
    "dataset.class_labels",
    "dataset.groups",
    "dataset.folds",
    "dataset.stratify",
    "dataset.splits",
    "dataset.clip_tree",
    "dataset.formats_official",
    "dataset.formats_cloud",
    "dataset.formats",
    "dataset.given_lists",
    "dataset.missing_clips",
    "dataset.repeats",
    "dataset.listing",
    "dataset.video_file",
    "dataset.packet_index",
    "dataset.timeline",
    "dataset.orientation",
    "dataset.video_stream",
    "dataset.counting",
    "dataset.promised_length",
    "dataset.media_file",
    "dataset.frame_clock",
    "dataset.frame_rgb",
    "dataset.frame_folder",
    "dataset.decode_pyav",
    "dataset.decode_numbered",
    "dataset.decode_torchcodec",
    "dataset.decode_decord",
    "dataset.decode",
    "dataset.hashing",
    "dataset.fingerprint",
    "dataset.scene",
    "dataset.clip_facts",
    "dataset.probe_cache",
    "dataset.probe_process",
    "dataset.probe",
    "dataset.sources",
    "dataset.recordings",
    "dataset.probed_listing",
    "dataset.health",
    "dataset.sampling",
    "coverage",
    "dataset.frame_cache",
    "dataset.reader_pool",
    "dataset.loader",
    "plan.group_limits",
    "plan.hardware",
    "launch",
    "torchrun",
    "plan.source",
    "plan.augmentation",
    "plan.backbones",
    "plan.batch",
    "plan.optimization",
    "plan.clip_shape",
    "plan.choose",
    "plan.search_space",
    "plan.choose_cache",
    "plan.prediction",
    "plan.cutting",
    "plan.choose_time",
    "plan.evidence",
    "plan.peak",
    "plan.resume",
    "run_record",
    "run_data",
    "scores",
    "results",
    "selection_bias",
    "kept_results",
    "calibration",
    "headline",
    "leaderboard",
    "features.store",
    "clip_review",
    "prepare",
    "check",
    "planning",
    "tested_clips",
    "testing",
    "training",
    "api",
    "cli",
]
HEAVY = ("torch", "torchvision", "timm", "mmcv", "mmengine", "mmaction", "cv2", "decord")

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    .removesuffix("__init__")
    .rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Path of each module, by its name without `autox_video.`; the package itself is ""."""


def row_of(module: str) -> int | None:
    """Place of a module in ROWS; None if it has none."""
    names = (module, f"{module.rpartition('.')[0]}.*", f"{module}.*")
    return next((ROWS.index(name) for name in names if name in ROWS), None)


def imported_modules(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Give every module of the package that the source of `module` imports, in functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = list(_imported_from(node, module, is_package=is_package))
        else:
            continue
        for name in names:
            if name.startswith("autox_video."):
                yield name.removeprefix("autox_video.")


def _imported_from(node: ast.ImportFrom, module: str, *, is_package: bool) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = ["autox_video", *filter(None, module.split("."))]
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, *filter(None, [node.module])])
    for alias in node.names:
        inside = f"{base}.{alias.name}".removeprefix("autox_video.")
        if inside in MODULES:
            yield f"autox_video.{inside}"
        elif base == "autox_video" and alias.name == "AutoXVideo":
            yield "autox_video.api"
        else:
            yield base


def imports_of(module: str) -> set[str]:
    """Give the modules of the package that this one imports."""
    path = MODULES[module]
    source = path.read_text(encoding="utf-8")
    return set(imported_modules(source, module, is_package=path.name == "__init__.py"))


def wrong_import(module: str, imported: str) -> str | None:
    """Say why `module` may not import `imported`; None if it may."""
    mine, other = row_of(module), row_of(imported)
    if other is None:
        return f"{module} imports {imported}, which has no row in ROWS"
    if mine is not None and (other < mine or (other == mine and ROWS[mine].endswith(".*"))):
        return None
    return f"{module} imports {imported}, which is not above it: imports go downward only"


# The package itself gives AutoXVideo out lazily, and packages without a row are only folders.
FILES = [m for m in MODULES if m and (MODULES[m].name != "__init__.py" or row_of(m) is not None)]
FOLDERS = [m for m in MODULES if m and m not in FILES]


@pytest.mark.parametrize("module", FILES)
def test_every_module_has_its_row(module):
    assert row_of(module) is not None, (
        f"autox_video.{module} is in no row: put it into ROWS, under all that it imports"
    )


@pytest.mark.parametrize("module", FILES)
def test_imports_go_downward_only(module):
    wrong = [wrong_import(module, imported) for imported in sorted(imports_of(module))]
    assert not any(wrong), "; ".join(filter(None, wrong))


@pytest.mark.parametrize("module", FOLDERS)
def test_a_package_without_a_row_imports_nothing(module):
    assert imports_of(module) == set()


def test_no_circle_within_a_package():
    graph = {module: {m for m in imports_of(module) if m in FILES} for module in FILES}
    while graph:
        free = {module for module, imported in graph.items() if not imported}
        assert free, f"these import each other in a circle: {', '.join(sorted(graph))}"
        graph = {module: rest - free for module, rest in graph.items() if module not in free}


def test_light_rooms_bring_nothing_heavy():
    modules = [f"autox_video.{name}".rstrip(".") for name in LIGHT if name in MODULES]
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = sys.modules.keys() & set({HEAVY!r})\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    root = str(PACKAGE.parent)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import autox_video.settings", {"settings"}),
        ("from autox_video import settings, errors", {"settings", "errors"}),
        ("from autox_video import AutoXVideo", {"api"}),
        ("from autox_video import __version__", set()),
        ("import autox_video, torch", set()),
        ("from autox_video.dataset.listing import ClipList", {"dataset.listing"}),
        ("def f():\n    from ..settings import AUTO", {"settings"}),
        ("from . import splits", {"dataset.splits"}),
        ("from .. import errors", {"errors"}),
    ],
)
def test_the_check_finds_imports(source, found):
    assert set(imported_modules(source, "dataset.listing")) == found


@pytest.mark.parametrize(
    ("module", "imported", "may"),
    [
        ("settings", "errors", True),
        ("errors", "settings", False),
        ("settings", "settings", False),
        ("models.one", "settings", True),
        ("settings", "models", False),
        ("fileio", "nothing", False),
    ],
)
def test_the_check_knows_directions(module, imported, may):
    assert (wrong_import(module, imported) is None) == may
