"""The alert rules of the how-to for a hospital node, loaded and tried by Prometheus' own tool on series of its metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from send.outbox_parts import FarSide

from rtbids.send import lines
from rtbids.send.metrics import text
from rtbids.send.outbox import Outbox

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "hospital-node.rst"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool not found: it comes with Prometheus")
ALL_IS_WELL = {
    "rtbids_send_working_processes": "1x60",
    'rtbids_send_images{state="ERROR"}': "0x60",
    "rtbids_send_oldest_waiting_seconds": "0+60x60",
    'rtbids_send_destination_up{destination="dicom://PACS@pacs:104"}': "1x60",
    "rtbids_send_paused": "0x60",
}


def rules() -> str:
    """Return the YAML that the page shows."""
    _, _, rest = PAGE.read_text().partition(".. code-block:: yaml\n\n   groups:\n")
    shown = "   groups:\n" + rest
    return textwrap.dedent("".join(line for line in re.split(r"(?m)^(?=\S)", shown)[0].splitlines(keepends=True)))


def promtool(*words: object) -> str:
    done = subprocess.run([str(PROMTOOL), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_speak_of_metrics_that_there_are(tmp_path: Path) -> None:
    with Outbox.open(tmp_path / "outbox") as outbox:
        lines.serve(outbox, [FarSide(tmp_path / "far")], alone=True)
        served = text(outbox)
    named = set(re.findall(r"rtbids_send_\w+", rules()))
    assert len(named) == 5
    assert {name for name in named if f"\n{name}" not in served} == set()
    assert '\nrtbids_send_images{state="ERROR"} 0' in served


def test_a_destination_that_is_not_sent_to_any_more_is_not_down(tmp_path: Path) -> None:
    with Outbox.open(tmp_path / "outbox") as outbox:
        old, new = FarSide(tmp_path / "far"), FarSide(tmp_path / "far", url="file:///new")
        [number] = lines.serve(outbox, [old], alone=True)
        lines.down(outbox, number, old.url, "nobody answers", for_good=False)
        assert 'rtbids_send_destination_up{destination="file:///far"} 0' in text(outbox)
        lines.serve(outbox, [new], alone=True)
        assert re.findall(r"rtbids_send_destination_up{.*", text(outbox)) == [
            'rtbids_send_destination_up{destination="file:///new"} 1'
        ]


@needs_promtool
def test_the_metrics_are_as_prometheus_wants_them(tmp_path: Path) -> None:
    with Outbox.open(tmp_path / "outbox") as outbox:
        lines.serve(outbox, [FarSide(tmp_path / "far")], alone=True)
        served = text(outbox)
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=served, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_promtool
def test_the_rules_load(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules())
    assert "SUCCESS: 5 rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "minutes", "changed"),
    [
        (None, 59, {}),
        ("NodeIsNotAtWork", 6, {"rtbids_send_working_processes": "0x60"}),
        ("NodeIsNotAtWork", 6, dict.fromkeys(ALL_IS_WELL)),  # nobody answers there
        (None, 4, {"rtbids_send_working_processes": "0x60"}),
        ("ImagesInError", 1, {'rtbids_send_images{state="ERROR"}': "3x60"}),
        ("ImagesWaitForLong", 1, {"rtbids_send_oldest_waiting_seconds": "3601x60"}),
        ("DestinationIsDown", 16, {'rtbids_send_destination_up{destination="dicom://PACS@pacs:104"}': "0x60"}),
        (None, 14, {'rtbids_send_destination_up{destination="dicom://PACS@pacs:104"}': "0x60"}),
        ("NodeIsPaused", 6, {"rtbids_send_paused": "1x60"}),
    ],
)
def test_each_rule_calls_when_it_should_and_no_other_does(
    tmp_path: Path, alert: str | None, minutes: int, changed: dict[str, str | None]
) -> None:
    (tmp_path / "rules.yaml").write_text(rules())
    series = [{"series": name, "values": values} for name, values in (ALL_IS_WELL | changed).items() if values]
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": list(_firing(alert, minutes))}]
    (tmp_path / "tests.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "tests.yaml")


def _firing(alert: str | None, minutes: int) -> list[dict[str, Any]]:
    """Return what is asked for: how many alerts of each name fire by then."""
    names = [rule["alert"] for group in yaml.safe_load(rules())["groups"] for rule in group["rules"]]
    return [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
            "eval_time": f"{minutes}m",
            "exp_samples": [{"labels": "{}", "value": int(name == alert)}],
        }
        for name in names
    ]
