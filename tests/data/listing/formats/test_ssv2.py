"""Something-Something V2's lists."""

import json
import os

from autox_video.data.listing.formats.detect import recognise
from autox_video.data.listing.formats.list_format import Reading
from tests.places import named


def ssv2(place):
    names = {"Closing something": "0", "Opening something": "1", "Unused something": "2"}
    clips = [
        {"id": "78687", "label": "opening a box", "template": "Opening [something]"},
        {"id": "42326", "template": "Closing [something]", "placeholders": ["a door"]},
    ]
    place.write(
        s__something_something_v2_train_dot_json=json.dumps(clips, indent=2),
        s__something_something_v2_validation_dot_json=json.dumps(clips[:1]).replace("78687", "5"),
        s__something_something_v2_labels_dot_json=json.dumps(names),
        s__something_something_v2_test_dot_json='[{"id":"9"}]',
    )
    place.videos("20bn/78687.webm", "20bn/42326.webm", "20bn/5.webm", "20bn/9.webm")


def test_something_something_v2(place):
    ssv2(place)
    listing = place.read(
        "s/something_something_v2_train.json",
        ann_file_val="s/something_something_v2_validation.json",
        ann_file_test="s/something_something_v2_test.json",
    )
    assert listing.classes == ("Closing something", "Opening something")
    assert named(listing, "train") == {
        "20bn/78687.webm": "Opening something",
        "20bn/42326.webm": "Closing something",
    }
    assert (listing.test.paths, listing.test.labels) == (("20bn/9.webm",), None)
    assert listing.notes[0].startswith("1 of the 3 classes in s/something_something_v2_labels.json")


def test_something_something_faults(place):
    ssv2(place)
    place.write(a_dot_json='[{"id":"1", "template":\n"x"}, \n]', b_dot_json='[{"template":"x"}]')
    (problem,) = place.problems("a.json")
    assert problem.startswith("a.json:3: this is not valid JSON (")
    assert place.problems("b.json", data_format="ssv2") == [
        "b.json: clip 1 of the array has no `id`."
    ]
    place.write(s__labels_dot_json='{"x": 7}')
    os.remove("s/something_something_v2_labels.json")
    assert place.problems("s/something_something_v2_train.json") == [
        "s/labels.json: the 1 class numbers are not 0, 1, 2, ..."
    ]


def test_json_with_ids_of_other_kinds_is_not_something_something(place):
    place.videos("1.mp4", "2.mp4", "v.mp4")
    rows = [{"id": 1, "label": "a", "video": "1.mp4"}, {"id": 2, "label": "b", "video": "2.mp4"}]
    place.write(t_dot_json=json.dumps(rows), v_dot_csv="path,label\nv.mp4,a\n")
    assert recognise("t.json", Reading("videos")) == "json"
    assert place.read("t.json", ann_file_val="v.csv").train.paths == ("1.mp4", "2.mp4")
