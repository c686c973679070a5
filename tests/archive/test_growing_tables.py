"""Tables that grow line by line, and tables that list what is there."""

from __future__ import annotations

import growth
import pandas
import pytest

from rtbids.archive import listing, tables
from rtbids.archive.dataset import Archive
from rtbids.errors import BadData


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (0.1 + 0.2, "0.30000000000000004"),
        (12, "12"),
        (True, "true"),
        ("late", "late"),
        ("two\tcells\nand lines", "two cells and lines"),
        ({"left": 1.5, "right": float("inf")}, '{"left":1.5,"right":null}'),
    ],
)
def test_a_value_stands_in_its_cell_as_bids_writes_it(value, text):
    assert tables.cell(value) == text


def test_each_line_is_there_when_its_row_returns(tmp_path):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0))
        table = run.table("feedback", ("volume", "value"), {"value": {"Units": "percent"}})
        table.row((0, 1.25))
        table.row((1, None))
        frame = pandas.read_csv(table.path, sep="\t", na_values="n/a")
        assert frame["volume"].tolist() == [0, 1]
        assert frame["value"][0] == 1.25
        assert frame["value"].isna().tolist() == [False, True]
    place = tmp_path / "derivatives/rtbids/sub-01/func"
    assert table.path == place / "sub-01_task-nf_run-01_desc-feedback_timeseries.tsv"
    assert '"percent"' in table.path.with_suffix(".json").read_text()


def test_a_row_of_the_wrong_length_is_refused(tmp_path):
    table = tables.Table(tmp_path / "t.tsv", ("a", "b"))
    with pytest.raises(ValueError, match="expected 2 values, found 1"):
        table.row((1,))
    table.close()
    assert table.path.read_text() == "a\tb\n"


@pytest.mark.parametrize(("before", "after"), [("a\n1\n2", "a\n1\n"), ("a\n1\n", "a\n1\n"), ("a", "")])
def test_a_half_written_line_is_cut(tmp_path, before, after):
    path = tmp_path / "t.tsv"
    path.write_text(before)
    tables.cut_partial_line(path)
    assert path.read_text() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "participant_id\nsub-1\n"),
        ("participant_id\nsub-1\n", "participant_id\nsub-1\n"),
        ("age\tparticipant_id\r\n3\tsub-2", "age\tparticipant_id\r\n3\tsub-2\r\nn/a\tsub-1\r\n"),
    ],
)
def test_a_row_is_added_once_and_nothing_else_changes(before, after):
    assert listing.with_row(before, "participant_id", "sub-1", "participants.tsv") == after


def test_only_the_named_row_is_removed():
    assert listing.without_row("filename\tx\na\t1\nab\t2\n", "filename", "a", "scans.tsv") == "filename\tx\nab\t2\n"


def test_a_table_without_its_column_is_named():
    with pytest.raises(BadData, match=r"scans\.tsv: expected a column filename, found 'file'"):
        listing.with_row("file\n", "filename", "a", "scans.tsv")


def test_a_cell_may_hold_any_character_but_tab_and_line_feed():
    table = "filename\tnote\na\tone\u2028two\x85three\nb\tn/a\n"
    assert listing.with_row(table, "filename", "a", "scans.tsv") == table
    assert listing.with_row(table, "filename", "c", "scans.tsv") == table + "c\tn/a\n"
    assert listing.without_row(table, "filename", "a", "scans.tsv") == "filename\tnote\nb\tn/a\n"
