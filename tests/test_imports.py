"""Who may import whom: rooms upward in ROOMS only, and the light rooms bring nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "autox_video"

# Lowest first: a room may import from its own row and from the rows above it.
ROOMS = (
    ("core",),
    ("config", "run"),
    ("machine", "distributed"),
    ("video",),
    ("data",),
    ("backbones",),
    ("metrics", "tasks"),
    ("planning",),
    ("training",),
    ("evaluation",),
    ("prediction",),
    ("automl",),
    ("jobs",),
    ("api",),
    ("cli",),
    ("__main__",),
)

# Rooms and modules that import nothing of HEAVY by themselves: a mistake in a config, a list or a
# clip is found without waiting for any of it.
LIGHT = (
    "core",
    "config",
    "run",
    "machine",
    "distributed",
    "video",
    "data.listing",
    "data.inspection",
    "data.splitting",
    "data.demo",
    "data.loading.frame_cache",
    "data.loading.loader",
    "data.loading.reader_pool",
    "backbones.spec",
    "backbones.descriptors.spec",
    "backbones.video_conv.spec",
    "backbones.video_swin.spec",
    "backbones.weights.downloading",
    "backbones.weights.fetching",
    "backbones.weights.hub",
    "backbones.weights.known_weights",
    "backbones.weights.local_copies",
    "backbones.weights.wanted",
    "metrics",
    "tasks.task",
    "tasks.classification.single_label",
    "tasks.classification.multi_label",
    "tasks.localisation.localisation",
    "tasks.localisation.metrics",
    "tasks.localisation.segments",
    "tasks.localisation.training_clips",
    "tasks.localisation.metrics",
    "tasks.localisation.segments",
    "data.label_array",
    "planning",
    "evaluation.results",
    "evaluation.calibrated_predictions",
    "evaluation.tested_clips",
    "prediction.annotation",
    "prediction.outputs",
    "prediction.timeline",
    "prediction.live.source",
    "prediction.timeline_table",
    "prediction.recordings.truth",
    "prediction.video_prediction",
    "automl.clip_review",
    "automl.fetched_weights",
    "automl.leaderboard",
    "automl.own_work_dir",
    "automl.prepare",
    "automl.repeat",
    "automl.probing.feature_store",
    "automl.run_data",
    "automl.settle_plan",
    "automl.starting_weights",
    "jobs",
    "api",
    "cli",
    "__main__",
)
# What imports it on purpose.
NOT_LIGHT = ("machine.mm_compat",)
# What the package itself imports on first use.
LAZY = {"AutoXVideo": "api", "Stopped": "training.interrupt"}
HEAVY = ("torch", "torchvision", "timm", "mmcv", "mmengine", "mmaction", "cv2", "decord")

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    .removesuffix("__init__")
    .rstrip("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Path of each module, by its name without `autox_video.`; the package itself is ""."""


def row_of(module: str) -> int | None:
    """Place of a module's room in ROOMS; None if it has none."""
    room = module.split(".")[0]
    return next((row for row, rooms in enumerate(ROOMS) if room in rooms), None)


def is_light(module: str) -> bool:
    """Whether a module is in LIGHT or in a room of it."""
    within = any(module == name or module.startswith(f"{name}.") for name in LIGHT)
    return within and module not in NOT_LIGHT


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
        elif base == "autox_video" and alias.name in LAZY:
            yield f"autox_video.{LAZY[alias.name]}"
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
        return f"{module} imports {imported}, whose room is not in ROOMS"
    if mine is None or other <= mine:
        return None
    return f"{module} imports {imported}, a room below its own: imports go upward only"


# The package itself gives AutoXVideo out lazily.
FILES = [name for name in MODULES if name]


@pytest.mark.parametrize("module", FILES)
def test_every_module_is_in_a_room(module):
    assert row_of(module) is not None, f"the room of autox_video.{module} is not in ROOMS"


@pytest.mark.parametrize("module", FILES)
def test_imports_go_upward_only(module):
    wrong = [wrong_import(module, imported) for imported in sorted(imports_of(module))]
    assert not any(wrong), "; ".join(filter(None, wrong))


def test_every_folder_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_no_circle_among_files():
    graph = {module: {m for m in imports_of(module) if m in FILES} for module in FILES}
    while graph:
        free = {module for module, imported in graph.items() if not imported}
        assert free, f"these import each other in a circle: {', '.join(sorted(graph))}"
        graph = {module: rest - free for module, rest in graph.items() if module not in free}


def test_light_rooms_bring_nothing_heavy():
    modules = ["autox_video", *(f"autox_video.{name}" for name in FILES if is_light(name))]
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
        ("import autox_video.config.settings", {"config.settings"}),
        ("from autox_video.config import settings, load", {"config.settings", "config.load"}),
        ("from autox_video import AutoXVideo", {"api"}),
        ("from autox_video import Stopped", {"training.interrupt"}),
        ("from autox_video import __version__", set()),
        ("import autox_video, torch", set()),
        ("from autox_video.core.errors import ConfigError", {"core.errors"}),
        ("def f():\n    from ..core.errors import ConfigError", {"core.errors"}),
        ("from . import sampling", {"video.sampling"}),
        ("from .. import api", {"api"}),
    ],
)
def test_the_check_finds_imports(source, found):
    assert set(imported_modules(source, "video.decode")) == found


@pytest.mark.parametrize(
    ("module", "imported", "may"),
    [
        ("config.settings", "core.errors", True),
        ("core.errors", "config.settings", False),
        ("data.demo", "data.listing.listing", True),
        ("backbones.video_swin.model", "tasks.classification.head", False),
        ("machine.hardware", "distributed.processes", True),
        ("core.files", "nothing", False),
    ],
)
def test_the_check_knows_directions(module, imported, may):
    assert (wrong_import(module, imported) is None) == may
