"""A script that could never be called is refused when it is loaded, not at the scanner."""

from __future__ import annotations

import pytest

from rtbids.errors import ExperimentFault
from rtbids.run.script import script_file

GOOD = "def feedback(volume, run):\n    return 1\n\n\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def feedback(volume):\n    return 1\n", r"line 1: expected feedback\(volume, run\), found feedback\(volume\)$"),
        ("import math\n\ndef feedback() -> float:\n    return math.pi\n", r"line 3: .*, found feedback\(\)$"),
        (GOOD + "def start():\n    pass\n", r"line 5: expected start\(run\), found start\(\)$"),
        (GOOD + "def end(run, study):\n    pass\n", r"line 5: expected end\(run\), found end\(run, study\)$"),
        (GOOD + "def response(event):\n    pass\n", r"line 5: expected response\(event, run\), found response\(event\)$"),
        (GOOD + "start = 5\n", r"expected a function start\(run\), found start = 5$"),
    ],
)
def test_a_function_that_cannot_be_called_is_named_with_its_line(tmp_path, text, said):
    script = tmp_path / "experiment.py"
    script.write_text(text)
    with pytest.raises(ExperimentFault, match=said) as caught:
        script_file.load(script)
    assert str(caught.value).startswith("experiment.py")
    assert caught.value.exit_code == 70


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "def start(run, times=3):\n    pass\n",
        "def feedback(*arguments):\n    return 1\n",
        "from functools import partial\n\nfeedback = partial(lambda gain, volume, run: gain, 2)\n",
        "class Mean:\n    def __call__(self, volume, run):\n        return 1\n\n\nfeedback = Mean()\n",
        "feedback = max\n",
    ],
    ids=["defaults", "any", "partial", "object", "built in"],
)
def test_whatever_takes_its_arguments_will_do(tmp_path, text):
    script = tmp_path / "experiment.py"
    script.write_text(text)
    assert callable(script_file.load(script).feedback)
