"""Every command and every Python block of the README and the docs is run, or another test runs it.

They run in a scratch folder with tiny clips under the names that the docs use, with keys that make
them quick. One command of each form trains; those that only differ in their keys are planned
(`--plan`), which reads the keys and the clips and makes every choice.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from autox_video import AutoXVideo
from autox_video.cli.main import main
from autox_video.config.settings import Settings
from autox_video.prediction.outputs.output_files import write_predictions
from autox_video.prediction.video_prediction import VideoPrediction, Windows
from tests.backbones.libraries.tiny_transformers import saved
from tests.backbones.weights.weight_files import weights_file
from tests.datasets import COLOURS, REPOSITORY, TINY, colour_clip
from tests.docs.pages import blocks, commands, python_blocks

QUICK = {**TINY, "epoch": 1, "workers": 0}
QUICK_WORDS = [f"{key}={value}" for key, value in QUICK.items()]
"""What makes a run take seconds; commands get it behind their own keys."""
KEPT = {"backbone", "load_from", "cache"}
"""Keys of which a command keeps its own value."""

RUN_ELSEWHERE = {
    r"python3 -m venv \S+ && \S+pip install -e \S+": (".ci/run", "pip install"),
    r"python3 -m venv .* -m pytest .*": (".ci/run", "<!-- test command -->"),
    r"python3 -m venv .* autotrain\.py && .*": (
        "tests/test_whole_run.py",
        "autotest.py",
    ),
    r"autox-video (train|test) recordings .*": ("tests/test_localisation.py", "autotest.py"),
    r"\. \.venv/bin/activate": (".ci/run", ".venv/bin/python"),
    r"pip install .*": (".ci/run", "pip install"),
    r"python -m pytest.*": (".ci/run", "-m pytest"),
    r"ruff check \. && ruff format \.": (".ci/run", "ruff check"),
    r"sphinx-build .*": (".ci/run", "sphinx-build"),
    r"\./dist_(train|test)\.sh .*": ("tests/cli/test_torchrun.py", "dist_train.sh"),
    r"NNODES=.* \./dist_train\.sh .*": ("tests/cli/test_torchrun.py", "NNODES"),
    r"torchrun .*": ("tests/distributed/test_processes.py", "torchrun"),
    r"autox-video train .* (gpus|device)=.*": ("tests/distributed/test_launch.py", "gpus"),
    r"autox-video info .*": ("tests/cli/commands/test_info.py", '"info"'),
    r"python docs/draw_sentences.py.*": ("tests/docs/test_draw_sentences.py", "draw_sentences.py"),
}
"""Commands that are not run here: patterns, and the test or CI step that does, with a word in it.

Those that install, that need GPUs, several machines or long runs.
"""

NOT_QUICK = ("time_budget", "mode", "from-plan")
"""Commands with these only take time, or are trained elsewhere: they are planned."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything that the docs name: clips, lists, configs, weights."""
    folder = tmp_path_factory.mktemp("docs")
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for colour in COLOURS:
        for number in range(7):
            path = folder / "my" / "videos" / colour / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            colour_clip(path, colour, seed=number * 31 + ord(colour[0]))
            split = "train" if number < 5 else "val" if number == 5 else "test"
            lists[split].append(f"{colour}/{number}.mp4 {colour}\n")
    for split, lines in lists.items():
        (folder / "my" / f"{split}.txt").write_text("".join(lines))
    colour_clip(folder / "recording.mp4", "red", seed=0, seconds=5)
    for copy in ("new/clips", "other/videos", "clips"):
        shutil.copytree(folder / "my" / "videos", folder / copy)
    lines = ["data_root: my/videos", *(f"ann_file_{s}: my/{s}.txt" for s in lists)]
    (folder / "my.yaml").write_text("\n".join([*lines, "work_dir: work_dirs/mine", ""]))
    weights_file(folder / "my" / "weights.pth", "conv_nano")
    saved(folder / "my" / "dinov2-small", "dinov2")
    ucf101(folder)
    stored_predictions(folder)
    return folder


def stored_predictions(folder: Path) -> None:
    """The predictions of one clip in windows."""
    starts = np.arange(3) * 0.25
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    path = str(next((folder / "my" / "videos").glob("*/0.mp4")))
    windows = Windows(starts, starts + 0.5, scores)
    clip = VideoPrediction(path, ("run", "sit"), scores.mean(axis=0), 1.0, windows)
    write_predictions(folder / "predictions.parquet", [clip], {"task": "single_label"})


def ucf101(folder: Path) -> None:
    """Clips and lists as UCF101 has them, and a config that names them."""
    lists = folder / "my" / "ucfTrainTestlist"
    lists.mkdir()
    for colour in COLOURS:
        for group in range(1, 6):
            name = f"{colour}/v_{colour}_g{group:02d}_c01.avi"
            path = folder / "my" / "UCF-101" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            clip = folder / "my" / "videos" / colour / f"{group}.mp4"
            shutil.copyfile(clip, path)
            number = list(COLOURS).index(colour) + 1
            split, line = ("train", f"{name} {number}") if group > 1 else ("test", name)
            with open(lists / f"{split}list01.txt", "a") as file:
                file.write(f"{line}\n")
    keys = ("data_root: my/UCF-101", "ann_file_train: my/ucfTrainTestlist")
    (folder / "ucf101.yaml").write_text("\n".join([*keys, "work_dir: work_dirs/ucf101", ""]))


@pytest.fixture
def there(place, monkeypatch):
    """The test runs in that folder."""
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def quick_api(monkeypatch):
    """What AutoXVideo is given is made quick; that it was wrong stays."""
    given = AutoXVideo._with

    def quick_keys(model, keys):
        asked = given(model, keys)
        return {**QUICK, **asked, "epoch": min(asked.get("epoch", 1), 1)}

    monkeypatch.setattr(AutoXVideo, "_with", quick_keys)


def test_blocks_of_commands_say_so():
    for block in blocks():
        starts = re.compile(r"^\$? ?(autox-video|python3?|pip|\./dist|sphinx)[ -]\w", re.MULTILINE)
        if block.language in ("", "text"):
            unmarked = [m for m in starts.findall(block.text) if "COMMAND" not in block.text]
            assert not unmarked, f"{block.place}: mark this block as bash"


@pytest.mark.parametrize("pattern", RUN_ELSEWHERE)
def test_what_is_not_run_here_is_run_there(pattern):
    file, word = RUN_ELSEWHERE[pattern]
    assert word in (REPOSITORY / file).read_text()
    assert any(re.fullmatch(pattern, command) for command in commands())


def test_every_command_is_of_a_kind_that_is_run():
    for command, where in commands().items():
        assert is_run_elsewhere(command) or words_of(command), f"{where}: who runs `{command}`?"


def test_every_key_in_commands_exists():
    for command, where in commands().items():
        for key in re.findall(r"(?<=\s)(\w+)=", command):
            known = key in Settings.model_fields or key.isupper()
            assert known or not words_of(command), f"{where}: there is no key {key}"


@pytest.mark.slow
def test_commands_run(there, capsys):
    forms: set[str] = set()
    for number, (command, where) in enumerate(commands().items()):
        words = None if is_run_elsewhere(command) else words_of(command)
        if words is None:
            continue
        words = [word.replace("/fast/", f"{there}/fast/") for word in words]
        code = main(quick(words, forms, f"plans/{number}"))
        said = capsys.readouterr()
        assert code == 0, f"{where}: `{command}` ends with {code}:\n{said.out}\n{said.err}"


@pytest.mark.slow
def test_python_runs(there, quick_api):
    for clips in ("my/videos", "my.yaml"):
        assert main(["train", clips, *QUICK_WORDS]) == 0
    for block in python_blocks():
        if block.page == "docs/architecture.md":
            continue  # parts of modules: tests/test_custom_imports.py runs such ones
        try:
            exec(compile(block.text, block.place, "exec"), {})
        except Exception as error:
            raise AssertionError(f"{block.place}: {error}") from error


def is_run_elsewhere(command: str) -> bool:
    """Whether a row of RUN_ELSEWHERE is of this command."""
    return any(re.fullmatch(pattern, command) for pattern in RUN_ELSEWHERE)


def words_of(command: str) -> list[str] | None:
    """The words of one of our commands, as `main` takes them; None for other commands."""
    for prefix in ("autox-video ", "python -m autox_video ", ".venv/bin/autox-video "):
        if command.startswith(prefix):
            return shlex.split(command.removeprefix(prefix))
    match = re.fullmatch(r"(?:\S*/)?python auto(train|test)\.py ?(.*)", command)
    return [match[1], *shlex.split(match[2])] if match else None


def quick(words: list[str], forms: set[str], plan_dir: str) -> list[str]:
    """The words of a command, made quick.

    Training is planned, in a folder of its own, where a command of its form (`forms`) came before
    and did all of it.
    """
    command, *rest = words
    if command not in ("train", "check"):
        return words
    named = {word.partition("=")[0] for word in rest}
    words = [*words, *(word for word in QUICK_WORDS if word.partition("=")[0] not in KEPT & named)]
    if command == "train":
        form = " ".join(word for word in rest if "=" not in word)
        is_repeated = form in forms or any(word in " ".join(rest) for word in NOT_QUICK)
        if is_repeated and "--plan" not in rest:
            words += ["--plan", f"work_dir={plan_dir}"]
        forms.add(form)
    return words
