"""UCF101's lists, as published and as they were copied."""

import os

from autox_video.data.listing.formats.detect import recognise
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.listing import read_test
from tests.places import named

UCF = {
    "ucf__classInd_dot_txt": "1 Archery\n2 Biking\n",
    "ucf__trainlist01_dot_txt": "Archery/v_Archery_g08_c01.avi 1\nBiking/v_Biking_g08_c01.avi 2\n",
    "ucf__testlist01_dot_txt": "Archery/v_Archery_g01_c01.avi\nBiking/v_Biking_g01_c01.avi\n",
}
UCF_CLIPS = [f"{c}/v_{c}_g{g}_c01.avi" for c in ("Archery", "Biking") for g in ("01", "08")]


def ucf(place):
    place.write(**UCF)
    place.videos(*UCF_CLIPS)


def test_ucf101_lists_are_read_as_they_are(place):
    ucf(place)
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert (listing.classes, listing.named) == (("Archery", "Biking"), True)
    assert named(listing, "train") == {
        "Archery/v_Archery_g08_c01.avi": "Archery",
        "Biking/v_Biking_g08_c01.avi": "Biking",
    }
    assert listing.val.labels == (0, 1)
    assert recognise("ucf/testlist01.txt", Reading("videos")) == "ucf101"


def test_ucf101_clips_are_found_in_other_folders_and_as_other_files(place):
    place.write(**UCF)
    place.videos("UCF-101/v_Archery_g08_c01.mp4", "UCF-101/Biking/v_Biking_g08_c01.avi")
    place.videos("v_Archery_g01_c01.avi", "v_Biking_g01_c01.avi")
    listing = place.read("ucf", ann_file_val="ucf/testlist01.txt")
    assert listing.train.paths == (
        "UCF-101/v_Archery_g08_c01.mp4",
        "UCF-101/Biking/v_Biking_g08_c01.avi",
    )


def test_a_folder_of_ucf101_lists_is_for_training_and_testing(place):
    ucf(place)
    place.write(ucf__trainlist02_dot_txt="Archery/v_Archery_g01_c01.avi 1\n")
    place.videos(*(f"{c}/v_{c}_g09_c01.avi" for c in ("Archery", "Biking")))
    more = "Archery/v_Archery_g09_c01.avi 1\nBiking/v_Biking_g09_c01.avi 2\n"
    place.write(ucf__trainlist01_dot_txt=UCF["ucf__trainlist01_dot_txt"] + more)
    listing = place.read("ucf")
    assert len(listing.train) + len(listing.val) == 4
    assert named(listing, "test") == {
        "Archery/v_Archery_g01_c01.avi": "Archery",
        "Biking/v_Biking_g01_c01.avi": "Biking",
    }
    test = read_test(place.settings(ann_file_train="ucf"), listing.classes)
    assert test == listing.test
    assert read_test(place.settings(ann_file_test="ucf"), listing.classes) == listing.test
    assert place.problems("ucf", official_split=3) == [
        "ucf/trainlist03.txt: there is no such list file."
    ]


def test_ucf101_faults_are_named_with_their_lines(place):
    ucf(place)
    place.write(
        ucf__trainlist01_dot_txt=UCF["ucf__trainlist01_dot_txt"]
        + "Archery/v_Archery_g09_c01.avi 2\nJuggling/v_Juggling_g01_c01.avi 3\nBiking\n"
    )
    found = place.problems("ucf/trainlist01.txt", data_format="ucf101")
    assert found == [
        "ucf/trainlist01.txt:3: the class number is 2, but Archery is 1 in classInd.txt.",
        "ucf/trainlist01.txt:4: class `Juggling` is not in classInd.txt.",
        "ucf/trainlist01.txt:5: `Biking` does not have the form `CLASS/CLIP.avi NUMBER`.",
    ]


def test_ucf101_lists_without_the_class_numbers(place):
    ucf(place)
    os.remove("ucf/classInd.txt")
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert listing.classes == ("Archery", "Biking")


def test_ucf101_clips_in_another_case_or_with_backslashes(place):
    place.write(**{name: text.replace("/", "\\") for name, text in UCF.items()})
    place.videos(*(path.replace("v_Archery", "v_ArcHery") for path in UCF_CLIPS))
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert named(listing, "train") == {
        "Archery/v_ArcHery_g08_c01.avi": "Archery",
        "Biking/v_Biking_g08_c01.avi": "Biking",
    }
    assert listing.val.labels == (0, 1)
