"""The files of deploy/ agree with each other, and hold no secret. test_scale.py runs them."""

import re
import tomllib

import yaml

from testing.cluster import DEPLOY, shipped_settings, systemd_unit
from testing.server import ROOT


def options(command: str) -> str:
    """Return uvicorn's options, without host and port."""
    return re.sub(r"--(host|port) \S+", "", command.partition("uvicorn ")[2])


def test_the_engine_is_pinned_for_its_python() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        (requirement,) = tomllib.load(file)["project"]["optional-dependencies"]["scale"]
    engine, marker = requirement.split("; ")
    assert marker == "python_version >= '3.12'"
    assert f"\n{engine}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_images_packages_are_pinned_by_hash() -> None:
    """In the versions that are tested, from the registry that pip is set up for, and with nothing beside them."""
    text = (DEPLOY / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-").splitlines()
    for line in lines:
        package, *hashes = re.split(r"\s+--hash=", line.partition(" ;")[0].strip())
        assert package in constraints, package
        assert hashes, package
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes)
    assert {"aegra-api", "langgraph", "setuptools"} <= {line.partition("==")[0] for line in lines}
    commands = re.findall(r"pip install .*", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert all("--require-hashes" in command or "--no-index" in command for command in commands)
    assert len(commands) == 2


def test_containers_and_systemd_start_the_same_servers() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("server1", "server2"):
        assert options(services[name]["command"]) == options(systemd_unit()["ExecStart"])
        assert services[name]["stop_grace_period"] == f"{systemd_unit()['TimeoutStopSec']}s"
        assert set(services[name]["environment"]) < set(shipped_settings())
    for port in re.findall(r"127\.0\.0\.1:(\d+) max_fails", (DEPLOY / "nginx.conf").read_text(encoding="utf-8")):
        assert f"s/127.0.0.1:{port}/server" in services["nginx"]["command"][-1]


def test_the_timeouts_fit_together() -> None:
    values = shipped_settings()
    graceful = int(re.findall(r"--timeout-graceful-shutdown (\d+)", systemd_unit()["ExecStart"])[0])
    assert int(systemd_unit()["TimeoutStopSec"]) > graceful + int(values["WORKER_DRAIN_TIMEOUT"]) + 10
    assert int(values["LEASE_DURATION_SECONDS"]) > 2 * int(values["HEARTBEAT_INTERVAL_SECONDS"])
    assert values["AEGRA_CHECKPOINT_DURABILITY"] == "sync"


def test_no_committed_file_holds_a_key() -> None:
    assert (shipped_settings()["GROQ_API_KEY"], shipped_settings()["LLAMABERRY_API_KEY"]) == ("", "")
    for name in (".gitignore", "deploy/Dockerfile.dockerignore"):
        assert "deploy/llamaberry.env\n" in (ROOT / name).read_text(encoding="utf-8")
