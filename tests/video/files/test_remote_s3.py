"""A real object store on this machine: moto's server, where it and s3fs are installed."""

import pytest

pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

from autox_video.config.load import settings_from_mapping  # noqa: E402
from autox_video.core.errors import ListingError, VideoError  # noqa: E402
from autox_video.data.listing.listing import read_listing  # noqa: E402
from autox_video.video.files.remote import RemoteFault, download  # noqa: E402
from autox_video.video.files.remote_cache import local_path  # noqa: E402


@pytest.fixture(scope="module")
def store():
    """Give a bucket of a store that s3fs finds by the environment, with clips and lists in it."""
    import fsspec

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("clips")
    for name in ("run/1", "run/2", "run/3", "run/4", "walk/1", "walk/2", "walk/3", "walk/4"):
        files.pipe(f"clips/videos/{name}.mp4", name.encode() * 1000)
    files.pipe("clips/lists/train.csv", b"path,label\nrun/1.mp4,run\nwalk/1.mp4,walk\n")
    val = b"path,label\nrun/2.mp4,run\ns3://clips/videos/walk/2.mp4,walk\n"
    files.pipe("clips/lists/val.csv", val)
    yield "s3://clips"
    server.stop()
    patch.undo()


@pytest.fixture
def bucket(store, monkeypatch, tmp_path):
    """The bucket, with the current folder left empty."""
    monkeypatch.chdir(tmp_path)
    return store


def listing(bucket, **given):
    given = {"data_root": f"{bucket}/videos", "work_dir": "work", **given}
    return read_listing(settings_from_mapping(given, "test"))


def test_lists_and_clips_on_s3(bucket, tmp_path):
    lists = {f"ann_file_{name}": f"{bucket}/lists/{name}.csv" for name in ("train", "val")}
    found = listing(bucket, **lists)
    assert found.data_root == "s3://clips/videos"
    assert found.train.paths == ("run/1.mp4", "walk/1.mp4")
    assert found.val.paths == ("run/2.mp4", "s3://clips/videos/walk/2.mp4")
    place = local_path(f"{bucket}/videos/run/1.mp4", str(tmp_path / "cache"))
    assert place.read_bytes() == b"run/1" * 1000


def test_class_folders_on_s3(bucket):
    found = listing(bucket)
    assert found.classes == ("run", "walk")
    assert sum(map(len, (found.train, found.val, found.test))) == 8


def test_what_is_not_on_s3_is_a_sentence(bucket, tmp_path):
    with pytest.raises(VideoError, match=r"no\.mp4: there is no such file on the server"):
        local_path(f"{bucket}/no.mp4", str(tmp_path / "cache"))
    with pytest.raises(RemoteFault, match="there is no such file on the server"):
        download("s3://no-such-bucket/a.mp4", tmp_path / "a")
    with pytest.raises(ListingError, match=r"no\.csv: there is no such file on the server"):
        listing(bucket, ann_file_train=f"{bucket}/no.csv")
