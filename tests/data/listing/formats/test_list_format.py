"""A format of a user's own module, named in `custom_imports`: recognised, chosen, read."""

import sys
from pathlib import Path

import pytest

from autox_video.config.choices import LIST_FORMATS
from autox_video.data.listing.formats.detect import recognise
from autox_video.data.listing.formats.list_format import Reading
from tests.places import named

TOY = '''
from autox_video.config.choices import LIST_FORMATS
from autox_video.data.listing.formats.list_format import ListFormat
from autox_video.data.listing.reading.table import Table


class Toy(ListFormat):
    """`LABEL <- PATH @ START..END` in each line."""

    def recognises(self, source, reading):
        return bool(source.head) and all(" <- " in line for line in source.head)

    def read(self, source, reading):
        table = Table(source.path)
        for number, line in source.lines():
            label, _, rest = line.partition(" <- ")
            path, _, times = rest.partition(" @ ")
            if not path:
                table.refuse(number, "this is not `LABEL <- PATH`")
                continue
            table.add(number, path, label, *times.split("..") if times else ())
        return table


LIST_FORMATS.register("toy")(Toy())
'''
TRAIN = "run <- a.mp4 @ 1..2.5\nwalk <- b.mp4\n"


@pytest.fixture
def place(place, monkeypatch):
    """Lists in a format that a module in the current folder registers."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("toy_list_format.py").write_text(TOY)
    place.videos("a.mp4", "b.mp4", "v.mp4")
    place.write(t_dot_txt=TRAIN, v_dot_txt="run <- v.mp4\n")
    yield place
    sys.modules.pop("toy_list_format", None)
    LIST_FORMATS._items.pop("toy", None)


@pytest.mark.parametrize("chosen", [{}, {"data_format": "toy"}])
def test_a_format_of_a_users_module_is_recognised_or_chosen(place, chosen):
    listing = place.read(
        "t.txt", ann_file_val="v.txt", custom_imports=["toy_list_format"], **chosen
    )
    assert named(listing, "train") == {"a.mp4": "run", "b.mp4": "walk"}
    assert listing.train.segments == ((1.0, 2.5), (0.0, float("inf")))
    assert named(listing, "val") == {"v.mp4": "run"}


def test_what_is_wrong_in_it_is_named_with_its_line(place):
    place.write(t_dot_txt=f"{TRAIN}run <-  @ 1..2\n")
    problems = place.problems("t.txt", ann_file_val="v.txt", custom_imports=["toy_list_format"])
    assert problems == ["t.txt:3: this is not `LABEL <- PATH`."]


def test_without_the_module_it_is_a_plain_list(place):
    assert recognise("t.txt", Reading("videos")) == "list"


@pytest.mark.parametrize("name", [name for name in LIST_FORMATS if name != "folders"])
def test_every_format_of_ours_is_registered(name):
    assert LIST_FORMATS[name].recognises is not None
