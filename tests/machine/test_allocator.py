import subprocess
import sys

import pytest

FAULTS = """
import resource
from autox_video.machine.allocator import keep_freed_memory

took = keep_freed_memory() if {keep} else None

def fill():
    return bytearray(64 * 2**20)  # zeroed by the kernel, or by us

for _ in range(3):
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, keep: bool) -> tuple[str, int]:
    """What the call gave, and the pages that ten blocks of 64 MiB needed anew, once warm."""
    command = [sys.executable, "-c", FAULTS.format(keep=keep)]
    took, faults = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    return took, int(faults)


def test_freed_memory_is_used_again_instead_of_fetched_anew():
    took, faults = page_faults(keep=True)
    if took == "False":
        pytest.skip("This C library has no mallopt.")
    assert faults < 100


def test_without_it_every_block_is_fetched_anew():
    """Fails when the C library keeps blocks by itself: ours can go then."""
    assert page_faults(keep=False)[1] > 100
