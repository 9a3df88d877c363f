"""Jester's lists."""


def test_jester_with_folders_of_frames(place):
    place.write(
        j__jester_v1_train_dot_csv="34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n",
        j__jester_v1_validation_dot_csv="9223;Drumming Fingers\n",
        j__jester_v1_test_dot_csv="77\n",
        j__jester_v1_labels_dot_csv="Sliding Two Fingers Right\nDrumming Fingers\n",
    )
    place.frames("20bn-jester-v1/34870", "20bn-jester-v1/56557", "77")
    place.videos("9223.webm")
    listing = place.read(
        "j/jester_v1_train.csv",
        ann_file_val="j/jester_v1_validation.csv",
        ann_file_test="j/jester_v1_test.csv",
    )
    assert listing.classes == ("Sliding Two Fingers Right", "Drumming Fingers")
    assert listing.train.paths == ("20bn-jester-v1/34870", "20bn-jester-v1/56557")
    assert listing.train.labels == (1, 0)
    assert (listing.val.paths, listing.val.labels) == (("9223.webm",), (1,))
    assert (listing.test.paths, listing.test.labels) == (("77",), None)
