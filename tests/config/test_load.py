"""config.yaml and overrides: what is taken, and that every mistake gets its sentence at once."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from autox_video.config.load import load_settings, settings_from_mapping
from autox_video.config.settings import AUTO, BASIC_KEYS, KEY_HELP, OFF, Settings
from autox_video.core.errors import ConfigError

SEED_CONFIG = """\
data_root: 'data/demo/videos'
ann_file_train: 'data/demo/annotations/train_list.txt'
ann_file_val: 'data/demo/annotations/val_list.txt'
ann_file_test: 'data/demo/annotations/test_list.txt'
video_length: 2
num_class: 25
videos_per_gpu: 8
epoch: 50
work_dir: 'work_dirs/demo'
test_results_path: 'results.json'
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Give a function that loads a config file with this content, called c.yaml in messages."""
    monkeypatch.chdir(tmp_path)

    def load(content, *overrides):
        data = content if isinstance(content, bytes) else content.encode()
        Path("c.yaml").write_bytes(data)
        return load_settings("c.yaml", overrides)

    return load


@pytest.fixture
def problems(load):
    """Give a function that loads a config file and gives the problems found."""

    def problems(content, *overrides):
        with pytest.raises(ConfigError) as caught:
            load(content, *overrides)
        return list(caught.value.problems)

    return problems


def test_a_config_of_the_seed_system_works_unchanged(load):
    settings = load(SEED_CONFIG)
    given = yaml.safe_load(SEED_CONFIG)
    assert {key: getattr(settings, key) for key in given} == given
    rest = {key: value for key, value in settings if key not in given}
    assert rest.pop("evaluation") == 2
    assert rest.pop("strict") is False
    assert rest.pop("max_bad") == 0.05
    assert rest.pop("demo") is False
    assert rest.pop("custom_imports") == ()
    assert rest.pop("allow_outside") is False
    assert rest.pop("deterministic") is False
    assert rest.pop("checkpoint_minutes") == 10
    assert rest.pop("noncommercial") is False
    assert rest.pop("strategy") == "ddp"
    assert set(rest.values()) == {AUTO}


def test_null_and_auto_and_leaving_out_are_the_same(load):
    bare = load("data_root: d\n")
    keys = [key for key, value in bare if value == AUTO]
    assert load("data_root: d\n" + "".join(f"{key}: null\n" for key in keys)) == bare
    assert load("data_root: d\n" + "".join(f"{key}:\n" for key in keys)) == bare
    assert load("data_root: d\n" + "".join(f"{key}: Auto\n" for key in keys)) == bare
    assert load("data_root: d\nevaluation: null\nwork_dir: null\n") == bare


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("video_length: 2", 2.0),
        ("video_length: '2.5'", 2.5),
        ("lr: 1e-3", 0.001),  # text to YAML 1.1
        ("lr: 0.1", 0.1),
        ("epoch: '8'", 8),
        ("epoch: 8.0", 8),
        ("seed: 0", 0),
        ("workers: 0", 0),
        ("evaluation: 0", 0),
        ("flip: no", False),
        ("strict: Yes", True),
        ("epoch: 010", 10),
        ("epoch: 1_000", 1000),
        ("data_root: Auto", "Auto"),
        ("work_dir: auto", "work_dirs/d"),
        ("work_dir: no", "no"),
        ("work_dir: 1:30", "1:30"),
        ("search: OFF", OFF),
        ("cache: no", OFF),
        ("device: cuda:1", "cuda:1"),
        ("gpus: 2", 2),
        ("gpus: [0, 2]", (0, 2)),
        ("gpus: [3]", (3,)),
        ("gpus: 0, 2", (0, 2)),
        ("freeze: All", "all"),
        ("freeze: 2", 2),
        ("freeze: auto", AUTO),
        ("lora: auto", AUTO),
        ("lora: off", OFF),
        ("lora: false", OFF),
        ("lora: 16", 16),
        ("layer_decay: 1", 1.0),
        ("warmup_epochs: 0.5", 0.5),
        ("weight_decay: 0", 0.0),
        ("label_smoothing: 0.2", 0.2),
        ("augment_strength: 0", 0.0),
        ("resolution: 112", 112),
        ("clip_len: 128", 128),
        ("load_from: none", "none"),
        ("load_from: https://host/swin.pth", "https://host/swin.pth"),
        ("work_dir: 2024", "2024"),
        ("work_dir: 2024-01-01", "2024-01-01"),
        ("work_dir: 010", "010"),
        ("work_dir: a b/ü", "a b/ü"),
        ("test_results_path: out/R.JSON", "out/R.JSON"),
    ],
)
def test_what_is_taken(load, line, value):
    key = line.partition(":")[0]
    first = "" if key == "data_root" else "data_root: d\n"
    found = getattr(load(f"{first}{line}\n"), key)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "line",
    [
        "epoch: ten",
        "epoch: 0",
        "epoch: -1",
        "epoch: 2.5",
        "epoch: true",
        "epoch: [1]",
        "epoch: {a: 1}",
        "epoch: .inf",
        "epoch: 2024-01-01",
        "epoch: 2024-13-45",
        "epoch: !!int x",
        "epoch: 1:30",
        "epoch: yes",
        "video_length: 1:30",
        "time_budget: 1:30",
        "time_budget: 00:10:00",
        "lr: 1:30.5",
        "epoch: 1" + "0" * 400,
        "epoch: 0x" + "f" * 5000,
        "video_length: 0",
        "video_length: .nan",
        "video_length: .inf",
        "video_length: long",
        "video_length: yes",
        "num_class: 1",
        "videos_per_gpu: 0",
        "seed: -1",
        "seed: 4294967296",
        "workers: -1",
        "evaluation: -1",
        "evaluation: auto",
        "backbone: resnet",
        "backbone: [swin_tiny]",
        "gpus: 0",
        "freeze: -1",
        "freeze: some",
        "freeze: 1.5",
        "lora: 0",
        "lora: on",
        "lora: 2000",
        "layer_decay: 0",
        "layer_decay: 1.1",
        "warmup_epochs: -1",
        "weight_decay: 5",
        "label_smoothing: 1",
        "augment_strength: 3",
        "gpus: []",
        "gpus: [0, 0]",
        "gpus: [-1]",
        "gpus: [a]",
        "gpus: 0;2",
        "gpus: [cuda:0]",
        "device: gpu",
        "device: 'cuda:'",
        'device: "cpu\\n"',
        "precision: float64",
        "decoder: ffmpeg",
        "compile: 1",
        "gradient_checkpointing: maybe",
        "flip: 1",
        "flip: 'maybe'",
        "strict: auto",
        "resolution: 30",
        "resolution: 226",
        "resolution: 2048",
        "clip_len: 7",
        "clip_len: 130",
        "lr: 0",
        "lr: -0.1",
        "lr: 1e999",
        "test_results_path: results.csv",
        "test_results_path: .json",
        "work_dir: ''",
        "work_dir: '  '",
        'work_dir: "a\\0b"',
        "work_dir: true",
        "work_dir: s3://bucket/work",
        "test_results_path: gs://bucket/r.json",
        "remote_cache: s3://bucket/cache",
        "ann_file_train: [a, b]",
    ],
)
def test_what_is_refused_gets_one_sentence(problems, line):
    (problem,) = problems(f"data_root: d\n{line}\n")
    key = line.partition(":")[0]
    assert problem.startswith(f"c.yaml:2: key `{key}`: ")
    assert "is not allowed; give " in problem
    assert len(problem) < 300
    assert "\n" not in problem


def test_the_sentence_names_value_and_what_is_allowed(problems):
    assert problems("data_root: d\n\nofficial_split: ten\n") == [
        "c.yaml:3: key `official_split`: 'ten' is not allowed; give a whole number from 1 to 3 or "
        "auto."
    ]


def test_all_problems_come_at_once(problems):
    content = "data_root: d\ndata_root: d\nepoch: ten\nepochs: 3\nann_file_val: v.txt\n"
    found = problems(content, "flip=7", "oops", "seed=[1")
    text = "\n".join(found)
    assert len(found) == 7
    assert "c.yaml:2: key `data_root` is already set at c.yaml:1; keep one." in found
    assert "c.yaml:3: key `epoch`: 'ten' is not allowed" in text
    assert "c.yaml:4: key `epochs` is not known; did you mean `epoch`?" in found
    assert "c.yaml:5: key `ann_file_val`: 'v.txt' needs `ann_file_train` too" in text
    assert "command line: key `flip`: 7 is not allowed; give true, false or auto." in found
    assert "command line: `oops` is not key=value, as in epoch=10." in found
    assert "command line: `seed=[1` is not valid YAML" in text


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("epochs", "epoch"),
        ("Epoch", "epoch"),
        ("num_classes", "num_class"),
        ("batch", "videos_per_gpu"),
        ("learning_rate", "lr"),
        ("ann_file_trian", "ann_file_train"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(problems, key, nearest):
    (problem,) = problems(f"data_root: d\n{key}: 3\n")
    assert problem == f"c.yaml:2: key `{key}` is not known; did you mean `{nearest}`?"


@pytest.mark.parametrize("key", ["zzz", "1", "~"])
def test_an_unknown_key_like_no_other_is_told_them_all(problems, key):
    (problem,) = problems(f"data_root: d\n{key}: 3\n")
    assert all(known in problem for known in KEY_HELP)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("ann_file_val: v", "c.yaml:1: key `ann_file_val`: 'v' needs `ann_file_train` too"),
        (
            "ann_file_train: v\nann_file_val: ./v",
            "c.yaml:2: key `ann_file_val`: './v' is also the train",
        ),
        ("work_dir: ./d/", "c.yaml:1: key `work_dir`: './d/' is also `data_root`"),
        (
            "gpus: [0, 2]\ndevice: cpu",
            "c.yaml:1: key `gpus`: [0, 2] names GPUs, but `device`",
        ),
        ("freeze: 2\nload_from: none", "c.yaml:1: key `freeze`: 2 needs pretrained weights"),
        ("lora: 8\nload_from: none", "c.yaml:1: key `lora`: 8 needs pretrained weights"),
        ("lora: 8\nfreeze: all", "c.yaml:1: key `lora`: 8 adapts a backbone that `freeze: all`"),
        ("warmup_epochs: 3\nepoch: 3", "c.yaml:1: key `warmup_epochs`: 3 must be less than"),
        ("demo: true", "c.yaml:1: key `demo`: true needs a `data_root` that ends in /videos"),
    ],
)
def test_impossible_combinations_are_refused(problems, content, sentence):
    (problem,) = problems(f"{content}\ndata_root: d\n")
    assert problem.startswith(sentence)


def test_a_combination_with_a_default_is_refused(problems):
    (problem,) = problems("data_root: work_dirs/default\n")
    assert problem.startswith("c.yaml: key `work_dir`: 'work_dirs/default' is also `data_root`")


def test_a_wrong_key_is_not_blamed_for_combinations_too(problems):
    found = problems("data_root: [d]\ndemo: true\n")
    assert len(found) == 1
    assert found[0].startswith("c.yaml:1: key `data_root`")


def test_the_missing_key_is_named(problems):
    (problem,) = problems("epoch: 3\n")
    assert problem.startswith("c.yaml: key `data_root` is missing: folder of the clips")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "c.yaml is empty; it needs at least the line `data_root: FOLDER`."),
        (b"# nothing\n---\n", "c.yaml is empty; it needs at least the line `data_root: FOLDER`."),
        (b"- a\n", "c.yaml has no `key: value` lines, but ['a']."),
        (b"hello", "c.yaml has no `key: value` lines, but 'hello'."),
        (b"a: 1\nb: \xff\n", "c.yaml:2: not UTF-8 text"),
        ("data_root: d".encode("utf-16"), "c.yaml:1: not UTF-8 text"),
        (b"a: [1\nb: 2\n", "c.yaml:2: this is not valid YAML: "),
        (b"a: 1\n\tb: 2\n", "c.yaml:2: this is not valid YAML: "),
        (b"a: 1\nb: \x07\n", "c.yaml:2: this is not valid YAML: "),
        (b"a: 1\n---\nb: 2\n", "c.yaml:2: this is not valid YAML: "),
        (b"{a: 1}: 2\n", "c.yaml:1: this is not valid YAML: "),
        (b"seed: !!omap x\n", "c.yaml:1: this is not valid YAML: "),
        (b"seed: !!float {a: 1}\n", "c.yaml:1: this is not valid YAML: "),
        (b"[" * 5000, "c.yaml: this is not valid YAML: it is nested too deeply."),
        (b"x" * (1 << 20) + b"x", "c.yaml is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_config_gets_its_own_sentence(problems, content, sentence):
    (problem,) = problems(content)
    assert problem.startswith(sentence)


def test_yaml_runs_no_code(problems, tmp_path):
    content = f"data_root: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n"
    (problem,) = problems(content)
    assert problem.startswith("c.yaml:1: this is not valid YAML: could not determine a constructor")
    assert not (tmp_path / "made").exists()


def test_a_missing_file_and_a_folder_get_their_own_sentences(tmp_path):
    with pytest.raises(ConfigError, match="there is no such config file"):
        load_settings(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="is a folder, not a config file"):
        load_settings(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, ["oops"])
    assert len(caught.value.problems) == 2


def test_an_address_of_a_config_is_shown_as_it_is():
    with pytest.raises(ConfigError, match="^https://host/c.yaml: a config must be a file"):
        load_settings("https://host/c.yaml")


def test_bom_and_crlf_are_taken(load):
    assert load(b"\xef\xbb\xbfdata_root: d\r\nepoch: 3\r\n").epoch == 3


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("epoch=10", "epoch", 10),
        (" epoch = 10 ", "epoch", 10),
        ("flip=false", "flip", False),
        ("lr=1e-3", "lr", 0.001),
        ("data_root=/a b/c", "data_root", "/a b/c"),
        ("data_root=/a=b", "data_root", "/a=b"),
        ("data_root=/a #1: [x]", "data_root", "/a #1: [x]"),
        ("data_root='/a b'", "data_root", "/a b"),
        ("work_dir=2024", "work_dir", "2024"),
        ("device=cuda:0", "device", "cuda:0"),
        ("gpus=0,2", "gpus", (0, 2)),
        ("gpus=[1]", "gpus", (1,)),
        ("epoch=null", "epoch", AUTO),
        ("ann_file_train=null", "ann_file_train", AUTO),
        ("epoch=auto", "epoch", AUTO),
    ],
)
def test_an_override_replaces_what_the_file_says(load, override, key, value):
    content = "data_root: d\nepoch: 5\nann_file_train: t.txt\n"
    assert getattr(load(content, override), key) == value


def test_the_last_override_counts(load):
    assert load("data_root: d\n", "epoch=3", "epoch=4").epoch == 4


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("epoch", "command line: `epoch` is not key=value, as in epoch=10."),
        ("=3", "command line: `=3` is not key=value, as in epoch=10."),
        ("epoch=", "command line: `epoch=` has no value; for the default, write epoch=auto."),
        ("epoch=x", "command line: key `epoch`: 'x' is not allowed; give a whole number from 1 to"),
        ("epoc=3", "command line: key `epoc` is not known; did you mean `epoch`?"),
        ("data_root=null", "command line: key `data_root` is missing: "),
    ],
)
def test_a_bad_override_gets_its_sentence(problems, override, sentence):
    (problem,) = problems("data_root: d\n", override)
    assert problem.startswith(sentence)


def test_the_home_folder_is_filled_in(load, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert load("data_root: ~/clips\n", "work_dir=~/w").data_root == "/home/me/clips"


def test_values_from_python_are_taken():
    given = {"data_root": Path("d"), "epoch": np.int64(4), "lr": np.float64(0.5), "seed": None}
    settings = settings_from_mapping(given, "fit")
    assert (settings.data_root, settings.epoch, settings.lr) == ("d", 4, 0.5)
    with pytest.raises(ConfigError, match=r"^fit: key `epoch`: true is not allowed"):
        settings_from_mapping({"data_root": "d", "epoch": True}, "fit")


def test_the_demo_config_holds_every_key_with_a_comment():
    path = Path(__file__).parents[2] / "config.yaml"
    settings = load_settings(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), f"`{line}` has no comment above it"
            long = number >= 4 and all(above[:2] == "# " for above in lines[number - 4 : number])
            assert not long, f"`{line}` has more than three lines of comment"
    assert settings.demo
    assert settings.work_dir == "work_dirs/demo"


def test_the_demo_config_is_in_the_order_of_the_schema_and_holds_its_defaults():
    text = (Path(__file__).parents[2] / "config.yaml").read_text(encoding="utf-8")
    basic, advanced = (yaml.safe_load(f"#{part}") for part in text.split("# ===== Advanced"))
    assert tuple(basic) == BASIC_KEYS
    assert [*basic, *advanced] == list(Settings.model_fields)
    assert advanced.pop("demo") is True
    defaults = {key: Settings.model_fields[key].default for key in advanced}
    assert advanced == defaults | {"custom_imports": []}


@pytest.mark.parametrize("name", ["config.yaml", "configs/folders.yaml", "configs/lists.yaml"])
def test_the_configs_that_come_with_the_project_are_right(name):
    assert load_settings(Path(__file__).parents[2] / name).data_root


@pytest.mark.parametrize("key", ["compile", "gradient_checkpointing"])
@pytest.mark.parametrize(("text", "value"), [("on", True), ("off", False), ("auto", "auto")])
def test_switches_are_words_in_yaml_in_quotes_and_from_python(key, text, value, tmp_path):
    for written in (text, f"'{text}'"):
        (tmp_path / "c.yaml").write_text(f"data_root: d\n{key}: {written}\n")
        assert getattr(load_settings(tmp_path / "c.yaml"), key) == value
    assert getattr(settings_from_mapping({"data_root": "d", key: text}, "test"), key) == value


@pytest.mark.parametrize("text", ["/a:50", "/a:50XB", "/a:0GB", "true"])
def test_a_cache_of_no_size_is_refused(load, text):
    with pytest.raises(ConfigError, match=r"`cache`.*not allowed; give DIR, DIR:SIZE"):
        load(f"data_root: d\ncache: {text}\n")


def test_a_plain_off_is_off(load):
    assert (
        load("data_root: d\ncache: off\n").cache == OFF == load("data_root: d\ncache: 'off'").cache
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45m", 2700), ("'1h30m'", 5400), ("90", 90), ("'90'", 90), ("2.5", 2.5), ("auto", "auto")],
)
def test_a_time_budget_is_a_duration_or_seconds(load, text, seconds):
    assert load(f"data_root: d\ntime_budget: {text}\n").time_budget == seconds
    assert settings_from_mapping({"data_root": "d", "time_budget": "2h"}, "fit").time_budget == 7200


@pytest.mark.parametrize("text", ["soon", "0", "-5", "0s", "1h1h", "true", "inf", "[1]", "400d"])
def test_a_time_budget_that_is_none_is_refused_with_a_sentence(load, text):
    with pytest.raises(ConfigError, match=r"`time_budget`.*not allowed; give a duration such as"):
        load(f"data_root: d\ntime_budget: {text}\n")


@pytest.mark.parametrize("word", ["time_budget=1:30", "epoch=1:30", "flip=y", "lr=1,5"])
def test_a_word_of_the_command_is_no_trap_either(word, tmp_path):
    (tmp_path / "c.yaml").write_text("data_root: d\n")
    value = word.partition("=")[2]
    with pytest.raises(ConfigError, match=f"{value}'? is not allowed"):
        load_settings(tmp_path / "c.yaml", [word])


def test_words_are_read_as_the_file_is(tmp_path):
    (tmp_path / "c.yaml").write_text("data_root: d\n")
    words = ["epoch=010", "flip=No", "seed=1_000", "work_dir=no", "cache=Off"]
    read = load_settings(tmp_path / "c.yaml", words)
    found = (read.epoch, read.flip, read.seed, read.work_dir, read.cache)
    assert found == (10, False, 1000, "no", OFF)


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("clips", "clips"),
        ("a/clips/", "clips"),
        ("./a/../b", "b"),
        (".", "here"),
        ("..", "parent"),
        ("/", "clips"),
        ("file:///a/clips", "clips"),
        ("s3://bucket/clips/", "clips"),
        ("s3://bucket", "bucket"),
        ("https://host/clips?version=2", "clips"),
    ],
)
def test_the_work_dir_is_named_after_the_clips(root, name, tmp_path, monkeypatch):
    (tmp_path / "parent" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "parent" / "here")
    settings = settings_from_mapping({"data_root": root}, "test")
    assert settings.work_dir == f"work_dirs/{name}"
    assert settings.model_dump(exclude_unset=True) == {"data_root": root}
    assert settings_from_mapping({"data_root": root, "work_dir": "Auto"}, "test") == settings


def test_a_mapping_is_a_config_too():
    settings = load_settings({"data_root": "a b", "epoch": 3}, ["epoch=4", "lr=auto"])
    assert (settings.data_root, settings.epoch, settings.lr) == ("a b", 4, AUTO)
    with pytest.raises(ConfigError, match="^command line: key `epoch`: 'x' is not allowed"):
        load_settings({"data_root": "d", "epoch": "x"})
    with pytest.raises(ConfigError, match="^command line: key `data_root` is missing"):
        load_settings({}, ["epoch=3"])


def test_keys_are_completed_before_they_are_checked(tmp_path):
    (tmp_path / "c.yaml").write_text("epoch: auto\nlr: 0.5\nseed: 3\n")
    seen = []

    def complete(given):
        seen.append(dict(given))
        return {"data_root": "d", "epoch": 7, **given}

    settings = load_settings(tmp_path / "c.yaml", ["seed=4"], complete)
    assert (settings.data_root, settings.epoch, settings.lr, settings.seed) == ("d", 7, 0.5, 4)
    assert seen == [{"lr": "0.5", "seed": "4"}]


DEMO = "data_root: data/demo/videos\ndemo: true\nwork_dir: work_dirs/demo\n"


def test_the_demo_does_not_mix_with_other_clips(load, problems):
    (problem,) = problems(DEMO, "data_root=mine")
    assert "does not fit other clips (data_root=mine)" in problem
    assert problem.endswith("autox-video train mine")
    assert load(DEMO, "data_root=data/demo/videos", "epoch=3").epoch == 3
    assert load(DEMO.replace("true", "false"), "data_root=mine").data_root == "mine"
