"""The wheel, installed beside a project with its own packages `graph` and `nodes`, as most agents have."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from testing.command import LIMIT_S
from testing.scripted_groq import ScriptedGroq

ROOT = Path(__file__).parents[1]

HOST = """
{imports}
import sys
from importlib import import_module
from pkgutil import iter_modules

assert (graph.OWNER, graph.state.OWNER, nodes.OWNER) == ("host", "host", "host")
assert sys.modules["graph"] is graph and sys.modules["nodes"] is nodes
names = [
    f"{{package}}.{{module.name}}"
    for package in ("llamaberry.graph", "llamaberry.nodes")
    for module in iter_modules(sys.modules[package].__path__)
]
assert len(names) > 10
for module in map(import_module, names):
    assert "{site}" in module.__file__
print(ours.invoke({{"query": "What is 6 x 7?"}}, context=Context(max_turns=1))["concise_answer"])
"""
OURS = "from llamaberry import Context, graph as ours\nimport llamaberry.graph.state, llamaberry.nodes.first_turn"
THEIRS = "import graph, graph.state, nodes"


def product_files() -> list[str]:
    """The files of the product in this clone, relative to it; a new file counts before it is committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "graph", "nodes", "llamaberry"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [name for name in listed if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it. It is built in a copy, with the links that tools need.

    Files of an old build in the clone would get into the wheel.
    """
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in [*product_files(), "scripts/link.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, source / "scripts/link.py"], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_the_wheel_holds_the_product_once_in_one_package(site: Path) -> None:
    """Files of graph/ and nodes/ are below llamaberry/, and the links add no second copy."""
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    expected = {name if name.startswith("llamaberry/") else f"llamaberry/{name}" for name in product_files()}
    assert {name for name in files if ".dist-info/" not in name} == expected


def test_the_links_are_made_once(tmp_path: Path) -> None:
    for name in ("graph", "nodes", "llamaberry", "scripts"):
        (tmp_path / name).mkdir()
    script = shutil.copy(ROOT / "scripts/link.py", tmp_path / "scripts")
    for _ in range(2):
        subprocess.run([sys.executable, script], check=True)
    for name in ("graph", "nodes"):
        assert (tmp_path / "llamaberry" / name).samefile(tmp_path / name)


@pytest.mark.parametrize("imports", [f"{OURS}\n{THEIRS}", f"{THEIRS}\n{OURS}"], ids=["ours first", "theirs first"])
def test_a_projects_own_graph_and_nodes_are_not_replaced(
    site: Path, tmp_path: Path, groq: ScriptedGroq, imports: str
) -> None:
    """In either order of import."""
    for package in ("graph", "nodes"):
        (tmp_path / package).mkdir()
        for module in ("__init__", "state"):
            (tmp_path / package / f"{module}.py").write_text("OWNER = 'host'\n", encoding="utf-8")
    (tmp_path / "app.py").write_text(HOST.format(imports=imports, site=site), encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(site)}
    ran = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "42\n", "")
