"""A source behind a slow line: what its volumes took to come here counts, though nobody's clock is wrong."""

from __future__ import annotations

import json
import subprocess
import threading

import machines
import pytest
import slow_line

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PHANTOM = Phantom(shape=(32, 32, 9), voxel=(6.0, 6.0, 12.0), repetition_time=0.5, volumes=10, block=5)
LINE = slow_line.Line(rate=20e6, delay=0.15)  # longer than a volume is on its way between two commands of one machine
COMMAND = "exec .local/bin/rtbids run mine.py ssh://me@cloud/data/export --volumes 10 --feedback -"


def test_volumes_are_received_when_the_scanner_has_written_them():
    with machines.two() as (here, there), slow_line.joined(here, there, LINE):
        there.serve_ssh()
        for machine in (here, there):
            machine.has_rtbids()
        machines.let_in(here, there)
        there.person(".local/bin/rtbids deidentify --new-key -q")
        here.person("cat > mine.py", "def feedback(volume, run):\n    return 1.0\n")
        run = subprocess.Popen(here.login(COMMAND), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        said = [run.stderr.readline()]
        assert "watching" in said[0]
        export = there.root / "data" / "export"
        scan = threading.Thread(target=scanner.scan, args=(scanner.dicoms(PHANTOM), export), kwargs={"interval": 0.5})
        scan.start()
        out, err = run.communicate(timeout=60)
        scan.join()
        written = [path.stat().st_mtime for path in sorted(export.iterdir())]
    lines = [json.loads(line) for line in out.splitlines() if '"late"' not in line]
    assert [line["volume"] for line in lines] == list(range(PHANTOM.volumes)), err
    assert "clock" not in err
    last, moment = lines[-1], written[-1]  # by then there were undisturbed messages to compare the clocks by
    assert abs(last["received"] - moment) < LINE.delay / 2
    assert last["sent"] - last["received"] > LINE.delay / 2
