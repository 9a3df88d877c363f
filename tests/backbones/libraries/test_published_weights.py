"""Each library's published weights are found at the right addresses."""

import pytest
import timm
import torchvision

from autox_video.backbones.libraries.hub_models import find_model
from autox_video.backbones.libraries.published_weights import excludes_commerce, published_file
from autox_video.backbones.weights.fetching import fetch
from autox_video.backbones.weights.known_weights import KNOWN_FILES
from autox_video.core.errors import FetchError
from tests.servers import serve_weights, use_as_hub


@pytest.mark.parametrize(
    ("licence", "excluded"),
    [
        ("cc-by-nc-4.0", True),
        ("CC-BY-NC-SA-4.0", True),
        ("fair-noncommercial-research-license", True),
        ("Some Non-Commercial Licence", True),
        ("apple-amlr", True),
        ("apache-2.0", False),
        ("mit", False),
        ("bsd-3-clause", False),
        ("dinov3-license", False),
        ("nvidia-open-model-license", False),
        ("unknown", False),
    ],
)
def test_licences_that_exclude_commercial_use(licence, excluded):
    assert excludes_commerce(licence) == excluded


def test_the_table_agrees_on_every_licence():
    for known in KNOWN_FILES:
        assert excludes_commerce(known.licence) == known.noncommercial, known.name


def test_timms_models_are_on_the_hub():
    known = published_file("timm:resnet18")
    config = timm.get_pretrained_cfg("resnet18")
    assert known.url == f"hf://{config.hf_hub_id}/model.safetensors"
    assert (known.licence, known.name) == (config.license, "timm:resnet18")
    assert 40 <= known.size_mib <= 46  # 11.7 million parameters of 4 bytes, or 11.2 without head
    assert published_file("timm:convnextv2_tiny.fcmae_ft_in22k_in1k").noncommercial


def test_torchvisions_models_are_those_it_names():
    known = published_file("torchvision:swin3d_t")
    weights = torchvision.models.video.Swin3D_T_Weights.DEFAULT
    assert (known.url, known.sha256) == (weights.url, "7615ae03")
    assert known.size_mib == round(weights.meta["_file_size"])
    assert published_file("torchvision:no_such_model") is None


def test_mmaction2s_models_are_those_of_its_zoo():
    name = "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb"
    known = published_file(f"mmaction2:{name}")
    assert known.url.endswith(f"{name}_20220906-cd10898e.pth")
    assert (known.sha256, known.source) == ("cd10898e", "Kinetics-400")
    videomae = published_file("mmaction2:vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400")
    assert videomae.noncommercial
    assert published_file("mmaction2:no_such_model") is None


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_the_hub_names_files_and_licence(monkeypatch, tmp_path, file):
    name, backbone = "org/net", "hf:org/net"
    with serve_weights() as server:
        server.files |= {f"{name}/{file}": b"tensors", f"{name}/config.json": b"{}"}
        use_as_hub(server, monkeypatch, tmp_path)
        assert published_file(backbone).licence == "unknown"
        server.licence = "cc-by-nc-4.0"
        known = published_file(backbone)
        assert known.url == f"hf://{name}/{file}"
        assert (known.licence, known.noncommercial) == ("cc-by-nc-4.0", True)
        assert fetch(known).read_bytes() == b"tensors"
        requests = len(server.requests)
        cached = published_file(backbone)
        assert cached.url == f"hf://{name}@{'c' * 40}/{file}"
        assert cached.path_in(()) == known.path_in(())
        assert len(server.requests) == requests
        server.status = 404
        with pytest.raises(FetchError, match="no such file on the hub"):
            published_file("hf:org/absent")


def test_the_file_is_of_the_commit_whose_description_is_in_the_cache(monkeypatch, tmp_path):
    with serve_weights() as server:
        server.files |= {"org/net/model.safetensors": b"tensors", "org/net/config.json": b"{}"}
        server.files["org/net/preprocessor_config.json"] = b"{}"
        use_as_hub(server, monkeypatch, tmp_path)
        commit = find_model("org/net").revision
        known = published_file("hf:org/net")
        assert known.url == f"hf://org/net@{commit}/model.safetensors"
        assert fetch(known).read_bytes() == b"tensors"
    assert published_file("hf:org/net") == known


def test_a_local_folder_has_its_weights(tmp_path):
    assert published_file(f"hf:{tmp_path}") is None
    (tmp_path / "model.safetensors").write_bytes(b"tensors")
    known = published_file(f"hf:{tmp_path}")
    assert known.path_in(()) == tmp_path / "model.safetensors"
    assert known.at(known.path_in(())).backbone == f"hf:{tmp_path}"


def test_offline_the_hub_is_not_asked():
    assert published_file("hf:org/net").url == "hf://org/net/model.safetensors"


def test_own_backbones_are_not_published_by_libraries():
    assert published_file("swin_tiny") is None
