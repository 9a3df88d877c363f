"""ELAN's .eaf files."""

import pytest

from tests.data.listing.formats.annotation_tools.rows import rows_of

MEDIA = '<MEDIA_DESCRIPTOR MEDIA_URL="{0}" MIME_TYPE="video/mp4" RELATIVE_MEDIA_URL="{1}"{2}/>'
A = MEDIA.format("file:///C:/Users/ann/rec/a.mp4", "./a.mp4", "")
SOUND = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/a.wav" MIME_TYPE="audio/x-wav" EXTRACTED_FROM="a"/>'


def eaf(tiers, *, media=A, unit="milliseconds", before=""):
    """A file whose tiers are {name: [(label, start_ms, end_ms), ...]}."""
    slots, body, number = [], [], 0
    for name, annotations in tiers.items():
        parts = []
        for label, *times in annotations:
            number += 1
            for side, time in enumerate(times, 1):
                value = "" if time is None else f' TIME_VALUE="{time}"'
                slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{number}{side}"{value}/>')
            parts.append(
                f'<ANNOTATION>\n<ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="ts{number}1" TIME_SLOT_REF2="ts{number}2">'
                f"<ANNOTATION_VALUE>{label}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        body.append(f'<TIER LINGUISTIC_TYPE_REF="lt" TIER_ID="{name}">{"".join(parts)}</TIER>')
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{before}<ANNOTATION_DOCUMENT AUTHOR="" '
        f'FORMAT="3.0" VERSION="3.0">\n<HEADER MEDIA_FILE="" TIME_UNITS="{unit}">{media}</HEADER>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(body)}</ANNOTATION_DOCUMENT>"
    )


TIERS = {"Action": [("run", 0, 1250), ("walk &amp; talk", 1250, 2000)], "Empty": []}


def read(place, text, **given):
    place.write(t_dot_eaf=text)
    return place.read("t.eaf", ann_file_val="v.csv", **given)


def rows(place, text, **options):
    place.write(t_dot_eaf=text)
    return rows_of("t.eaf", **options)


def problems(place, text, **given):
    place.write(t_dot_eaf=text)
    return place.problems("t.eaf", ann_file_val="v.csv", **given)


def test_the_annotations_of_the_only_tier_in_use(place):
    listing = read(place, eaf(TIERS, media=SOUND + A))
    assert rows_of("t.eaf") == [("a.mp4", "run", 0.0, 1.25), ("a.mp4", "walk & talk", 1.25, 2.0)]
    assert list(listing.train.lines) == [4, 5]


def test_the_relative_path_of_the_video_and_its_offset(place):
    media = MEDIA.format("file:///home/ann/rec/b.mp4", "", ' TIME_ORIGIN="500"')
    *_, problem = problems(place, eaf(TIERS, media=media))
    assert "/videos/home/ann/rec/b.mp4 does not exist; the closest match is sub/b.mp4" in problem
    media = MEDIA.format("file:///home/ann/rec/b.mp4", "./b.mp4", ' TIME_ORIGIN="500"')
    assert rows(place, eaf(TIERS, media=media))[0] == ("sub/b.mp4", "run", 0.5, 1.75)


def test_of_several_videos_the_first_is_read(place):
    media = MEDIA.format("file:///r/sub/b.mp4", "", "") + A
    listing = read(place, eaf(TIERS, media=media))
    assert set(listing.train.paths) == {"sub/b.mp4"}
    assert any("only `sub/b.mp4` is read of 2 videos" in note for note in listing.notes)


def test_of_several_tiers_one_is_named(place):
    text = eaf({**TIERS, "Person": [("Ann", 0, 2000)]})
    assert problems(place, text) == [
        "t.eaf: several tiers have labels: `Action` (2), `Person` (1). Set label_field to the name "
        "of the one to learn from."
    ]
    assert rows(place, text, label_field="Person") == [("a.mp4", "Ann", 0.0, 2.0)]
    (problem,) = problems(place, text, label_field="Empty")
    assert problem.startswith("t.eaf: label_field: there are no labels under the name Empty; tiers")


def test_annotations_that_refer_to_others_have_their_times(place):
    reference = (
        '<TIER TIER_ID="Kind"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="k1" ANNOTATION_REF="a1"'
        "{}><ANNOTATION_VALUE>fast</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>"
    )
    text = eaf(TIERS).replace("</ANNOTATION_DOCUMENT>", reference + "</ANNOTATION_DOCUMENT>")
    assert rows(place, text.format(""), label_field="Kind") == [("a.mp4", "fast", 0.0, 1.25)]
    (problem,) = problems(place, text.format(' PREVIOUS_ANNOTATION="k0"'), label_field="Kind")
    assert "annotation k1 on tier `Kind`: it shares the time of another annotation" in problem
    (problem,) = problems(place, text.replace('="a1"{}', '="k1"'), label_field="Kind")
    assert "there is no annotation k1 with times" in problem


def test_a_folder_with_a_file_per_recording(place):
    b = MEDIA.format("", "./b.mp4", "")
    place.write(
        elan__1_dot_eaf=eaf(TIERS), elan__2_dot_eaf=eaf({"Action": [("run", 0, 500)]}, media=b)
    )
    place.write(elan__1_dot_pfsx="<x/>")
    assert place.read("elan", ann_file_val="v.csv").train.lines is None
    assert [row[0] for row in rows_of("elan")] == ["a.mp4", "a.mp4", "sub/b.mp4"]
    place.write(elan__2_dot_eaf=eaf({"Action": [("run", 900, 500)]}, media=b))
    assert place.problems("elan", ann_file_val="v.csv") == [
        "elan/2.eaf:4: annotation a1 on tier `Action`: the segment ends at 0.5 s, which is not "
        "after its start at 0.9 s."
    ]
    place.write(elan__2_dot_eaf=eaf({"Other": [("run", 0, 500)]}, media=b))
    (problem,) = place.problems("elan", ann_file_val="v.csv")
    assert problem.startswith("elan: several tiers have labels: `Action` (2), `Other` (1)")


ENTITIES = (
    '<!DOCTYPE x SYSTEM "file:///etc/hostname">\n',
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>\n',
    '<!DOCTYPE x [<!ENTITY e "eeeeeeeeee"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">]>\n',
)


@pytest.mark.parametrize("before", ENTITIES)
def test_no_entity_is_expanded_or_fetched(place, before):
    text = eaf({"Action": [("&e;" if "ENTITY" in before else "run", 0, 500)]}, before=before)
    (problem,) = problems(place, text)
    assert problem.startswith("t.eaf:2: the file has a document type definition (DOCTYPE)")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (eaf(TIERS)[:-9], "t.eaf:5: this is not valid XML (unclosed token)."),
        (
            eaf(TIERS).replace("TIER_ID", "NAME"),
            "t.eaf:3: this element has no attribute 'TIER_ID'.",
        ),
        (eaf(TIERS, unit="PAL-frames"), "t.eaf: its times are in PAL-frames, not in milliseconds"),
        (eaf(TIERS, media=SOUND), "t.eaf: there is no video among its linked files"),
        (
            eaf({"T": [("run", 5, None)]}),
            "t.eaf:4: annotation a1 on tier `T`: time slot ts12 is not",
        ),
        (
            eaf(TIERS).replace('TIME_SLOT_ID="ts11"', 'TIME_SLOT_ID="x"'),
            "t.eaf:4: annotation a1 on",
        ),
        (eaf({"T": []}), "t.eaf: there are no annotated videos or segments."),
        (eaf({"T": [("", 0, 5)]}), "t.eaf: there are no annotated videos or segments."),
    ],
)
def test_faults(place, text, problem):
    (told,) = problems(place, text)
    assert told.startswith(problem)
