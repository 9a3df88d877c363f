"""Limits of control groups, on made trees as Docker, Slurm and systemd make them."""

import math

import pytest

from autox_video.machine.container_limits import group_limits

NO_LIMIT_V1 = 9223372036854771712
V2 = "30 23 0:27 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "36 31 0:33 {root} /sys/fs/cgroup/{name} rw,nosuid - cgroup cgroup rw,{name}"
OTHER = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"


@pytest.fixture
def tree(tmp_path):
    def make(cgroup, mounts, **files):
        proc = tmp_path / "proc" / "self"
        proc.mkdir(parents=True)
        (proc / "cgroup").write_text("\n".join(cgroup) + "\n")
        (proc / "mountinfo").write_text("\n".join([OTHER, *mounts]) + "\n")
        for path, content in files["files"].items():
            place = tmp_path / "sys/fs/cgroup" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{content}\n")
        return group_limits(tmp_path)

    return make


def test_the_least_limit_on_the_way_up_holds(tree):
    """As systemd-run --user -p MemoryMax=1G, or a Slurm step, in version 2."""
    limits = tree(
        ["0::/user.slice/job 7/step"],
        [V2.format(root="/")],
        files={
            "user.slice/memory.max": 3000,
            "user.slice/cpu.max": "150000 100000",
            "user.slice/job 7/memory.max": "max",
            "user.slice/job 7/memory.high": 2000,
            "user.slice/job 7/step/memory.max": 2500,
            "user.slice/job 7/step/cpu.max": "max 100000",
            "user.slice/other/memory.max": 1,
        },
    )
    assert (limits.cores, limits.memory_bytes) == (1.5, 2000)


def test_a_container_with_its_own_view(tree):
    files = {"memory.max": 4096, "cpu.max": "50000 100000"}
    limits = tree(["0::/"], [V2.format(root="/")], files=files)
    assert (limits.cores, limits.memory_bytes) == (0.5, 4096)


def test_a_container_whose_process_is_named_from_outside(tree):
    """As Docker with version 1, or --cgroupns=host: the mount shows the container's own group."""
    limits = tree(
        ["5:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc/inner", "0::/docker/abc"],
        [V1.format(root="/docker/abc", name=name) for name in ("memory", "cpu")],
        files={
            "memory/memory.limit_in_bytes": 5000,
            "cpu/cpu.cfs_quota_us": 300000,
            "cpu/cpu.cfs_period_us": 100000,
            "cpu/inner/cpu.cfs_quota_us": 200000,
            "cpu/inner/cpu.cfs_period_us": 100000,
        },
    )
    assert (limits.cores, limits.memory_bytes) == (2.0, 5000)


def test_version_1_without_limits(tree):
    limits = tree(
        ["5:memory:/a", "4:cpu:/a"],
        [V1.format(root="/", name=name) for name in ("memory", "cpu")],
        files={
            "memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "memory/a/memory.limit_in_bytes": NO_LIMIT_V1,
            "cpu/a/cpu.cfs_quota_us": -1,
            "cpu/a/cpu.cfs_period_us": 100000,
        },
    )
    assert limits.cores == math.inf
    assert limits.memory_bytes == NO_LIMIT_V1


def test_both_versions_at_once(tree):
    limits = tree(
        ["5:memory:/a", "0::/a"],
        [
            V1.format(root="/", name="memory"),
            V2.format(root="/").replace("cgroup rw", "cgroup/u rw"),
        ],
        files={"memory/a/memory.limit_in_bytes": 700, "u/a/cpu.max": "100 100"},
    )
    assert (limits.cores, limits.memory_bytes) == (1.0, 700)


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files"),
    [
        ([], [], {}),
        (["0::/a"], [], {"a/memory.max": 1}),
        (["nonsense", "::", "0"], ["x", "1 2 3 4 - cgroup2"], {}),
        (["0::/../outside"], [V2.format(root="/")], {"../outside/memory.max": 1}),
        (
            ["0::/a"],
            [V2.format(root="/")],
            {"a/memory.max": "?", "a/cpu.max": "1", "memory.max": ""},
        ),
        (["0::/a"], [V2.format(root="/")], {"a/memory.max": "9" * 40, "a/cpu.max": "5 0"}),
    ],
)
def test_what_cannot_be_understood_is_no_limit(tree, cgroup, mounts, files):
    limits = tree(cgroup, mounts, files=files)
    assert (limits.cores, limits.memory_bytes) == (math.inf, math.inf)
