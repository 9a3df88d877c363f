"""Clips for tiny runs."""

from pathlib import Path

import pytest

from tests.datasets import colour_data


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("loops")
    keys = colour_data(root, train=3, val=1, test=1)
    for split in ("train", "val"):
        lines = Path(keys[f"ann_file_{split}"]).read_text().splitlines()
        rows = [",".join(line.rsplit(" ", 1)) for line in lines]
        (root / f"{split}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return root
