"""The real trace viewer, and the page of `llamaberry show`, in Chromium."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from testing.command import COMMAND, llamaberry
from testing.pages import save_screenshot
from testing.scripted_groq import Reply, Scripted, first, refine, synthesis

pytestmark = pytest.mark.browser

USAGE = {"prompt_tokens": 1234, "completion_tokens": 43, "total_tokens": 1277}
LONG = "antidisestablishmentarianism" * 12


@contextmanager
def viewer(port: int) -> Iterator[str]:
    """Run `llamaberry traces`; yield what it prints once it serves."""
    with subprocess.Popen([*COMMAND, "traces", "--port", str(port)], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            output = "".join(iter(server.stdout.readline, "\n"))
            output += server.stdout.readline()
            yield output
        finally:
            server.terminate()


def listening(port: int) -> list[str]:
    """The local addresses at which the viewer listens, IPv4 and IPv6."""
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.split(":")[1], 16) in (port, 4317):
                addresses.append(local.split(":")[0])
    return addresses


def test_the_viewer_shows_a_run_and_reaches_no_other_host(
    scripted: Scripted, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("GROQ_API_KEY", "gsk_of_the_shell")
    with viewer(port) as output:
        address = f"http://127.0.0.1:{port}"
        (variable,) = re.findall(r"export (\w+)=(\S+)", output)
        assert variable == ("LLAMABERRY_TRACES", address)
        assert listening(port) == ["0100007F"], "only on 127.0.0.1, and no gRPC"
        other_host = httpx.get(f"{address}/v1/projects", headers={"host": "evil.example"})
        assert other_host.status_code == 400
        providers = httpx.post(f"{address}/graphql", json={"query": "{modelProviders{key credentialsSet}}"}).json()
        credentials = {one["key"]: one["credentialsSet"] for one in providers["data"]["modelProviders"]}
        assert credentials["GROQ"] is False
        scripted([Reply(text, usage=USAGE) for text in (first("41"), refine("42", "revise"), refine(), synthesis())])
        assert llamaberry("ask", "How far is it to the berry field?", LLAMABERRY_TRACES=address).returncode == 0
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.goto(f"{address}/projects")
        page.get_by_text("llamaberry", exact=True).first.click()
        page.locator("table").get_by_role("link", name="llamaberry").first.click()
        for node in ("turn 1", "turn 2", "turn 3", "synthesis"):
            expect(page.get_by_text(node, exact=True).first).to_be_visible()
        page.get_by_text("turn 2 model call", exact=True).first.click()
        expect(page.get_by_text("How far is it to the berry field?").first).to_be_visible()
        expect(page.get_by_text("This is a refine turn.").first).to_be_visible()
        expect(page.get_by_text("1,277").first).to_be_visible()
        save_screenshot(page, "viewer")
        assert hosts == {f"127.0.0.1:{port}"}
        page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_run_fits_a_phone_and_a_desktop(
    scripted: Scripted, browser: Browser, tmp_path: Path, width: int
) -> None:
    """Nothing overflows, a click shows the reasoning, a changed answer is marked, and nothing is fetched."""
    texts = [first(f"It is 41 km, {LONG}"), refine("It is 42 km", "revise"), synthesis()]
    scripted([Reply(text, usage=USAGE) for text in texts])
    llamaberry("ask", "How far is it to the berry field?", "--thread", "T", "--turns", "2")
    llamaberry("show", "T", "--html", str(tmp_path / "page.html"))
    page = browser.new_page(viewport={"width": width, "height": 800})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"file://{tmp_path}/page.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    reply = page.get_by_text("Six times seven is 42.").first
    expect(reply).to_be_hidden()
    page.get_by_text("the full reply").first.click()
    expect(reply).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("article.changed")).to_have_count(1)
    label = page.locator("article.changed h2").evaluate("title => getComputedStyle(title, '::after').content")
    assert label == '"the answer changed"'
    save_screenshot(page, f"page-{width}")
    assert requests == [f"file://{tmp_path}/page.html"]
    page.close()
