"""A model file and videos → predictions."""

import numpy as np
import pytest
import torch

from autox_video.api import AutoXVideo
from autox_video.core.errors import CheckpointError, ListingError, VideoError
from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.calibrated_predictions import read_calibration
from autox_video.evaluation.ensemble import load_models, predict_all
from autox_video.evaluation.loading import Loading
from autox_video.evaluation.predict import for_testing, record_of
from autox_video.video.open_video import open_video
from tests.datasets import colour_clip
from tests.prediction.model_files import CALIBRATION, CLASSES, member, tiny_plan, write_model
from tests.videos import write_text_video, write_video

SPAN_SEC = 0.4  # of a window in tiny_plan


def moving(path, frames, *, fps=10, seed=0):
    """Write a video of colours that change slowly."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 20, (frames, 1, 1, 3)).cumsum(0) + rng.integers(60, 190, (1, 1, 1, 3))
    pixels = np.broadcast_to(np.clip(steps, 0, 255), (frames, 40, 48, 3)).astype(np.uint8)
    return write_video(path, pixels, fps=fps)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    single = write_model(root, member(tiny_plan()))
    (root / "both").mkdir()
    other = member(tiny_plan(clip_len=2, frame_interval_sec=0.15), seed=1)
    both = write_model(root / "both", member(tiny_plan()), other)
    (root / "videos").mkdir()
    moving(root / "videos/short.mp4", 8)
    moving(root / "videos/long.mp4", 200, seed=1)
    moving(root / "videos/middle.mp4", 30, seed=2)
    write_text_video(root / "videos/bad.mp4")
    return {"single": single, "both": both, "videos": root / "videos"}


def scores_in_test(path, videos, names):
    """Give the calibrated probabilities that a test gives."""
    record = for_testing(record_of(path))
    models = load_models(path, record, "cpu")
    predictions = predict_all(
        models,
        ClipTable(names),
        data_root=videos,
        loading=lambda record: Loading(2, 0, "cpu"),
    )
    return [p.scores for p in read_calibration(CALIBRATION).applied(predictions)]


@pytest.mark.parametrize("kind", ["single", "both"])
def test_a_clip_has_the_same_scores_as_in_a_test(files, kind):
    model = AutoXVideo.load(files[kind], workers=0)
    paths = [files["videos"] / name for name in ("short.mp4", "middle.mp4")]
    predictions = model.predict(paths)
    wanted = scores_in_test(files[kind], files["videos"], ("short.mp4", "middle.mp4"))
    assert [p.video for p in predictions] == list(map(str, paths))
    assert np.abs(np.array([p.scores for p in predictions]) - wanted).max() < 1e-9
    assert [p.windows for p in predictions] == [None, None]
    assert [p.seconds for p in predictions] == [pytest.approx(0.8), pytest.approx(3.0)]
    assert predictions[0].top(3)[0] == (
        CLASSES[np.argmax(wanted[0])],
        pytest.approx(max(wanted[0]), abs=1e-6),
    )


def test_a_long_video_is_covered_by_windows(files):
    model = AutoXVideo.load(files["single"], workers=1)
    path = files["videos"] / "long.mp4"
    [prediction] = model.predict(path)
    windows = prediction.windows
    assert windows.starts[0] == 0
    assert windows.ends[-1] == pytest.approx(20.0)
    assert np.allclose(np.diff(windows.starts), SPAN_SEC / 2)
    # Each window is what the model says of these frames alone.
    with open_video(path) as video:
        for number in (0, 7, len(windows) - 1):
            times = windows.starts[number] + (np.arange(4) + 0.5) * 0.1
            frames = video.frames_at(times)[:, :, 4:44]
            assert np.allclose(scores_of(model, frames), windows.scores[number], atol=1e-6)
    # The whole is the mean of the windows' probabilities before the temperature of 2.
    plain = windows.scores**2 / (windows.scores**2).sum(1, keepdims=True)
    mean = np.sqrt(plain.mean(0))
    assert np.allclose(prediction.scores, mean / mean.sum(), atol=1e-9)


def scores_of(model, frames):
    """Give the calibrated probabilities of a window (4, 40, 40, 3) by the network itself."""
    import cv2

    [one] = model.models
    small = np.stack([cv2.resize(f, (32, 32), interpolation=cv2.INTER_LINEAR) for f in frames])
    with torch.inference_mode():
        inputs = torch.from_numpy(small[None, None])
        data = one.model.data_preprocessor({"inputs": inputs, "labels": None})
        logits = one.model.cls_head(one.model.backbone(data["inputs"][:, 0]))
    return (logits / 2.0).softmax(1)[0].numpy()


def test_windows_of_an_ensemble_are_those_of_its_main_model(files):
    path = files["videos"] / "long.mp4"
    single = AutoXVideo.load(files["single"], workers=0).predict(path)[0].windows
    both = AutoXVideo.load(files["both"], workers=0).predict(path)[0].windows
    assert np.array_equal(single.starts, both.starts)
    assert not np.allclose(single.scores, both.scores, atol=1e-3)


def test_windows_can_be_asked_for(files):
    model = AutoXVideo.load(files["single"], workers=0)
    [short] = model.predict(files["videos"] / "short.mp4", windows=True)
    assert short.windows.starts.tolist() == pytest.approx([0.0, 0.2, 0.4])
    assert short.windows.ends.tolist() == pytest.approx([0.4, 0.6, 0.8])


def test_an_array_is_predicted_like_its_file(files):
    model = AutoXVideo.load(files["both"], workers=0)
    for name in ("short.mp4", "long.mp4"):
        path = files["videos"] / name
        with open_video(path) as video:
            frames = video.frames_at((np.arange(video.num_frames) + 0.5) / video.fps)
        [wanted] = model.predict(path)
        for array in (frames, torch.from_numpy(frames)):
            [prediction] = model.predict(array, fps=10)
            assert np.abs(prediction.scores - wanted.scores).max() < 1e-6
            assert (prediction.windows is None) == (name == "short.mp4")


def test_what_cannot_be_read_is_named(files):
    model = AutoXVideo.load(files["single"], workers=0)
    good, bad, missing = model.predict(
        [files["videos"] / name for name in ("short.mp4", "bad.mp4", "missing.mp4")]
    )
    assert good.error is None
    assert not bad.is_readable
    assert "bad.mp4" in bad.error
    assert "missing.mp4" in missing.error
    [bad] = model.predict(files["videos"] / "bad.mp4", windows=True)
    assert "bad.mp4" in bad.error


def test_multi_label_probabilities_are_independent(files, tmp_path):
    path = write_model(tmp_path, member(tiny_plan(), task="multi_label"), metrics={"map": 0.5})
    model = AutoXVideo.load(path, workers=0)
    [short] = model.predict(files["videos"] / "short.mp4")
    [long] = model.predict(files["videos"] / "long.mp4")
    assert abs(short.scores.sum() - 1) > 1e-3
    assert np.allclose(long.scores, long.windows.scores.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("array", "fps", "reason"),
    [
        (np.zeros((4, 8, 8), np.uint8), 10, "RGB array"),
        (np.zeros((4, 8, 8, 3), np.float32), 10, "uint8"),
        (np.zeros((0, 8, 8, 3), np.uint8), 10, "no frames"),
        (np.zeros((4, 8, 8, 3), np.uint8), None, "fps"),
        (np.zeros((4, 8, 8, 3), np.uint8), float("nan"), "fps"),
    ],
)
def test_arrays_that_are_no_video_are_refused(files, array, fps, reason):
    model = AutoXVideo.load(files["single"], workers=0)
    with pytest.raises(VideoError, match=reason):
        model.predict(array, fps=fps)


def test_mistakes_end_in_a_sentence(files, tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        AutoXVideo.load(tmp_path / "best.pth")
    model = AutoXVideo.load(files["single"], workers=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ListingError, match="no video files"):
        model.predict(tmp_path / "empty")
    with pytest.raises(ListingError, match="no file matches"):
        model.predict(str(tmp_path / "*.mp4"))


def test_a_folder_and_a_list_give_labels(files, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        colour_clip(tmp_path / "clips" / name / "1.mp4", name, seed=0)
    model = AutoXVideo.load(files["single"], workers=0)
    by_folder = model.predict(tmp_path / "clips")
    assert [p.label for p in by_folder] == [2, 0]
    (tmp_path / "clips/test.csv").write_text("red/1.mp4,red\nblue/1.mp4,blue\n")
    by_list = model.predict(tmp_path / "clips/test.csv")
    assert [p.label for p in by_list] == [0, 2]
    assert np.allclose(by_list[0].scores, by_folder[1].scores)
    unlabelled = model.predict(str(tmp_path / "clips/**/*.mp4"))
    assert [p.label for p in unlabelled] == [None, None]


def test_of_a_long_video_only_a_first_look_is_taken_before_its_windows(files, monkeypatch):
    """More looks at it would be thrown away."""
    from autox_video.evaluation import predict as evaluation

    asked = []
    scored = evaluation._Job.scored

    def counted(job, clips, rounds, on_done):
        asked.extend(rounds)
        return scored(job, clips, rounds, on_done)

    monkeypatch.setattr(evaluation._Job, "scored", counted)
    model = AutoXVideo.load(files["single"], workers=0)
    model.predict([files["videos"] / "long.mp4", files["videos"] / "middle.mp4"])
    assert asked == [0, 0, 1, 2]  # of middle.mp4, which has 3 s


def test_progress_counts_parts_of_videos(files):
    shares = []
    AutoXVideo.load(files["both"], workers=0).predict(
        files["videos"] / "long.mp4", windows=True, on_done=shares.append
    )
    assert shares == sorted(shares)
    assert len(set(shares)) > 6
    assert 0 < shares[0] < shares[-1] == pytest.approx(1.0)
