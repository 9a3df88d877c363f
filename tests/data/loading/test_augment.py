"""Augmentation on the device: the same for all frames, by the clip's seed alone."""

import torch

from autox_video.data.loading.augment import ClipAugmentation, Strengths


def still(clips=6, frames=4, side=32):
    """Pictures of noise that do not change over time, (B, T, 3, H, W)."""
    pictures = torch.randint(0, 256, (clips, 1, 3, side, side), dtype=torch.uint8)
    return pictures.expand(-1, frames, -1, -1, -1).contiguous()


def augment(clips, seeds, **strengths):
    return ClipAugmentation(Strengths(**strengths), 5).on_pixels(clips, seeds)


def test_half_of_the_clips_are_mirrored():
    clips = still(400, 1, 4)
    flipped = augment(clips, range(400), flip=0.5)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, clips, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(flipped, clips, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 160 < sum(mirrored) < 240


def test_nothing_asked_is_nothing_changed():
    clips = still()
    assert augment(clips, range(6)) is clips


def test_all_frames_of_a_clip_are_changed_alike_and_clips_differently():
    clips = still(1).expand(6, -1, -1, -1, -1).contiguous()
    for strengths in ({"colour": 0.5}, {"rand_augment": 9}):
        changed = augment(clips, range(6), **strengths)
        assert changed.dtype == torch.uint8 and changed.shape == clips.shape
        assert torch.equal(changed, changed[:, :1].expand_as(changed))
        assert len({clip.numpy().tobytes() for clip in changed}) > 3


def test_a_clip_depends_on_its_seed_and_not_on_its_batch_or_the_global_stream():
    clips = still()
    strengths = {"flip": 0.5, "colour": 0.4, "rand_augment": 7}
    whole = augment(clips, range(6), **strengths)
    state = torch.random.get_rng_state()
    alone = augment(clips[4:5], [4], **strengths)
    assert torch.equal(alone[0], whole[4])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_is_drawn_for_one_purpose_says_nothing_of_another():
    """A mirror image must not come with the same change of colours each time."""
    clips = still(1).expand(200, -1, -1, -1, -1).contiguous()
    flipped = (augment(clips, range(200), flip=0.5) != clips).flatten(1).any(1)
    brighter = augment(clips, range(200), colour=0.5).float().mean((1, 2, 3, 4))
    brighter = brighter > brighter.median()
    assert 0.35 < (flipped == brighter).float().mean() < 0.65


def test_erasing_blanks_one_rectangle_in_all_frames():
    clips = torch.ones(50, 3, 4, 32, 32)
    labels = torch.zeros(50, dtype=torch.int64)
    changed, same_labels = ClipAugmentation(Strengths(erasing=0.5), 5).on_batch(
        clips, labels, range(50)
    )
    assert same_labels is labels
    blank = changed == 0
    assert torch.equal(blank, blank[:, :1, :1].expand_as(blank))
    share = blank[:, 0, 0].float().mean((1, 2))
    assert 10 < (share > 0).sum() < 40
    assert share[share > 0].min() > 0.01 and share.max() < 0.4
    for picture in blank[:, 0, 0][share > 0]:
        rows, columns = picture.any(1).sum(), picture.any(0).sum()
        assert int(picture.sum()) == int(rows * columns)


def test_recolouring_changes_order_sign_gain_and_shift_of_the_colours():
    clips = torch.randn(300, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    augmentation = ClipAugmentation(Strengths(recolour=0.3), 5)
    changed, _ = augmentation.on_batch(clips.clone(), torch.zeros(300), range(300))
    orders, negatives, same = set(), 0, 0
    for before, after in zip(clips.flatten(2), changed.flatten(2), strict=True):
        if torch.equal(before, after):
            same += 1
            continue
        shares = torch.corrcoef(torch.cat([after, before]))[:3, 3:]
        order = shares.abs().argmax(1)
        assert (shares[range(3), order].abs() > 0.999).all()
        orders.add(tuple(order.tolist()))
        negatives += int(shares[0, order[0]] < 0)
        gains = after.std(1) / before[order].std(1)
        assert ((gains >= 0.7) & (gains <= 1.3)).all()
        shift = after.mean(1) - shares[0, order[0]].sign() * gains * before[order].mean(1)
        assert shift.abs().max() <= 0.3 + 1e-5
    assert len(orders) == 6 and 120 < same < 180 and 50 < negatives < 100
    alone, _ = augmentation.on_batch(clips[7:8].clone(), torch.zeros(1), [7])
    assert torch.equal(alone[0], changed[7])


def test_mixup_mixes_clips_and_labels_by_the_same_share():
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 8, 8).contiguous()
    mix = ClipAugmentation(Strengths(mixup=0.8), 4)
    mixed, labels = mix.on_batch(clips.clone(), torch.arange(4), [7, 8, 9, 10])
    assert type(mixed) is torch.Tensor
    for i in range(4):
        share = labels[i, i]
        assert torch.allclose(labels[i, i - 1], 1 - share)
        assert torch.allclose(mixed[i], share * clips[i] + (1 - share) * clips[i - 1])


def test_cutmix_pastes_the_same_rectangle_into_all_frames():
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 16, 16).contiguous()
    mix = ClipAugmentation(Strengths(cutmix=1.0), 4)
    mixed, labels = mix.on_batch(clips.clone(), torch.arange(4), [3, 8, 9, 10])
    for i in range(4):
        pasted = mixed[i] != clips[i]
        assert torch.equal(pasted, pasted[:1, :1].expand_as(pasted))
        share = float((~pasted[0, 0]).float().mean())
        assert abs(float(labels[i, i]) - share) < 1e-6 and 0 < share < 1


def test_both_mixes_take_turns_and_several_classes_can_be_mixed():
    mix = ClipAugmentation(Strengths(mixup=0.8, cutmix=1.0), 3)
    clips = torch.rand(2, 3, 2, 8, 8)
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    kinds = set()
    for seed in range(20):
        mixed, soft = mix.on_batch(clips.clone(), labels, [10 * seed, 1])
        kept = (mixed == clips).float().mean()
        kinds.add("cutmix" if 0 < kept < 1 else "mixup" if kept == 0 else "none")
        assert torch.allclose(soft.sum(0), labels.sum(0))
    assert {"mixup", "cutmix"} <= kinds


def test_a_single_clip_is_not_mixed_with_itself():
    clips, labels = torch.rand(1, 3, 2, 8, 8), torch.tensor([2])
    mixed, same_labels = ClipAugmentation(Strengths(mixup=0.8), 3).on_batch(clips, labels, [1])
    assert mixed is clips and same_labels is labels
