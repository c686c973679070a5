"""Which files go with a script to another machine, and which never do."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids.deidentify.mapping import Key
from rtbids.errors import UsageFault
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.run.far.belongings import Belongings
from rtbids.run.far.parcel import Packing


def names(script: Path, *stays: Path) -> list[str]:
    return sorted(path.relative_to(script.parent).as_posix() for path in Belongings(script, stays).files())


def write(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_with_an_experiment_goes_its_folder(tmp_path):
    write(
        tmp_path, "experiment.py", "mine.py", "pictures/a.png", ".hidden", "__pycache__/x.pyc", "study/dataset_description.json"
    )
    assert names(tmp_path / "experiment.py") == ["experiment.py", "mine.py", "pictures/a.png"]


def test_with_a_script_of_another_name_go_what_it_imports_and_its_config(tmp_path):
    write(tmp_path, "config.yaml", "diary.py", "letters/a.txt", "package/__init__.py", "package/inside/more.py", "numpy.txt")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom helps import twice\n\ndef feedback(volume):\n    import package.inside\n"
    )
    (tmp_path / "helps.py").write_text("import further\n")
    (tmp_path / "further.py").write_text("import mine, helps\n")
    expected = ["config.yaml", "further.py", "helps.py", "mine.py", "package/__init__.py", "package/inside/more.py"]
    assert names(tmp_path / "mine.py") == expected


@pytest.mark.parametrize("script", ["experiment.py", "mine.py"])
def test_links_that_lead_out_are_not_followed(tmp_path, script):
    write(tmp_path, "elsewhere/secret.py", "one/inside.py")
    (tmp_path / "one" / script).write_text("import linked, inside\n")
    (tmp_path / "one" / "linked.py").symlink_to(tmp_path / "elsewhere" / "secret.py")
    (tmp_path / "one" / "loop").symlink_to("loop")
    assert names(tmp_path / "one" / script) == sorted([script, "inside.py"])


def test_keys_and_images_stay_here(tmp_path):
    write(tmp_path, "experiment.py", "id_ed25519", "site.PEM", "my.key", "id_table.csv", "weights.bin")
    Key.make(tmp_path / "of the site")
    (tmp_path / "copied").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    scanner.scan(scanner.dicoms(Phantom(shape=(8, 8, 2), volumes=1)), tmp_path, interval=0)
    (image,) = (path for path in tmp_path.iterdir() if path.read_bytes()[128:132] == b"DICM")
    (tmp_path / "bare").write_bytes(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")
    (tmp_path / "weights.bin").write_bytes(b"\x08\x00\x05\x00\x07\x00\x09\x00")
    belongings = Belongings(tmp_path / "experiment.py")
    assert sorted(path.name for path in belongings.files()) == ["experiment.py", "id_table.csv", "weights.bin"]
    kinds = {line.partition(" is ")[0].rpartition("/")[2]: line.partition(" is ")[2] for line in belongings.left_out}
    key, dicom = "a private key: it is not copied", "a DICOM file: it is not copied"
    assert kinds == {
        **dict.fromkeys(["id_ed25519", "site.PEM", "my.key", "of the site", "copied"], key),
        **dict.fromkeys([image.name, "bare"], dicom),
    }


def test_what_is_named_to_stay_stays(tmp_path):
    write(tmp_path, "experiment.py", "export/a", "study/sub-01/b", "feedback.jsonl", "pictures/a.png")
    stays = [tmp_path / name for name in ("export", "study", "feedback.jsonl")]
    assert names(tmp_path / "experiment.py", *stays) == ["experiment.py", "pictures/a.png"]
    assert "export/a" in names(tmp_path / "experiment.py", tmp_path)  # a source that is the folder itself


def test_a_key_that_a_config_names_is_refused(tmp_path):
    write(tmp_path, "one/experiment.py", "secret.pem")
    load = {
        "script": str(tmp_path / "one" / "experiment.py"),
        "events": str(tmp_path / "secret.pem"),
        "rois": {},
        "analysis": None,
    }
    with pytest.raises(UsageFault, match=r"secret\.pem is a private key: it does not leave this machine"):
        Packing().pack(load)


def test_what_is_left_out_is_said_once(tmp_path, caplog):
    write(tmp_path, "experiment.py", "my.key")
    packing = Packing()
    for _ in range(2):
        packing.pack({"script": str(tmp_path / "experiment.py"), "events": None, "rois": {}, "analysis": None})
    assert caplog.messages == [f"{tmp_path / 'my.key'} is a private key: it is not copied"]
