"""A script that eats memory fails, and nothing else does."""

from __future__ import annotations

import os
import sys

import pytest
from run.sessions import FAR, lines, unpaced

from rtbids.errors import UsageFault
from rtbids.run.recipe import memory, recipe


@pytest.mark.parametrize(
    ("text", "expected"), [("4 GB", 4 * 10**9), ("512MB", 512 * 10**6), ("1.5 GiB", 3 * 2**29), ("8 kB", 8000)]
)
def test_a_size_has_a_unit(text, expected):
    assert memory.size(text) == expected


@pytest.mark.parametrize("text", ["4", "GB", "-4 GB", "0 GB", "4 GB of it", ""])
def test_what_is_no_size_is_said(text):
    with pytest.raises(UsageFault, match="expected a size such as 4 GB"):
        memory.size(text)


def test_a_config_with_a_wrong_size_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "experiment.py").write_text("def feedback(volume, run): ...\n")
    (tmp_path / "config.yaml").write_text("memory: plenty\n")
    with pytest.raises(UsageFault, match=r"config\.yaml: memory: expected a size"):
        recipe.read(str(tmp_path))


def test_without_a_word_a_script_may_not_take_all_that_the_machine_has():
    assert 0 < memory.most() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its limit")
def test_a_script_that_eats_memory_costs_that_volume_only(tmp_path, caplog):
    eats = "import numpy\n\ndef feedback(volume, run):\n    volume.index == 1 and numpy.ones(10**9)\n    return volume.index\n"
    (tmp_path / "config.yaml").write_text("memory: 1 GB\n")
    rows = lines(eats, tmp_path, iter([unpaced(index) for index in range(3)]), FAR)
    assert [row["status"] for row in rows] == ["ok", "alternate", "ok"]
    assert "MemoryError" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_where_memory_is_short_the_kernel_ends_the_script_first(tmp_path):
    score = "def feedback(volume, run):\n    return int(open('/proc/self/oom_score_adj').read())\n"
    (row,) = lines(score, tmp_path, iter([unpaced(0)]), FAR)
    with open("/proc/self/oom_score_adj") as ours:
        assert row["value"] > int(ours.read())  # type: ignore[operator]


def test_a_value_too_long_to_be_sent_on_costs_that_volume_only(tmp_path, caplog):
    long = "def feedback(volume, run):\n    return {'text': 'x' * (10 ** 6 if volume.index == 1 else 1)}\n"
    rows = lines(long, tmp_path, iter([unpaced(index) for index in range(3)]), FAR)
    assert [row["status"] for row in rows] == ["ok", "alternate", "ok"]
    assert "at most 65536 bytes" in caplog.text
