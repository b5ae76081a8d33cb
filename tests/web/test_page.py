"""The page of `llamaberry web` in Chromium, with a scripted Groq behind it and a key in front of it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from testing.command import LIMIT_S, QUESTION, llamaberry, running_command
from testing.pages import HOSTILE_TEXT, save_screenshot
from testing.scripted_groq import Reply, ScriptedGroq, first, program, refine, synthesis
from testing.server import PYTHON, server_environment

pytestmark = pytest.mark.browser

KEY = "page-key-0123456789"
LONG = "antidisestablishmentarianism" * 12
ENDLESS = Reply(first("41", steps=[("Read the question.", "It asks for one number.")] * 500), chunk_delay=0.05)


class Site(NamedTuple):
    """The running command: its address, its environment, the Groq behind it, and a browser that knows the key."""

    address: str
    environment: dict[str, str]
    groq: ScriptedGroq
    browser: Browser
    cookies: Any


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("page")
    with ScriptedGroq(keep_alive=False) as groq:
        environment = server_environment(home, GROQ_API_KEY="gsk_test", GROQ_API_BASE=groq.url, LLAMABERRY_API_KEY=KEY)
        with running_command("web", "--port", "0", env=environment) as command:
            assert command.stderr
            found = re.search(r"http://\S+", command.stderr.readline())
            assert found, command.communicate()
            page = browser.new_page()
            page.goto(found[0])
            page.get_by_label("The key of this server").fill(KEY)
            page.get_by_role("button", name="Open").click()
            expect(question_box(page)).to_be_visible(timeout=60_000)
            yield Site(found[0], environment, groq, browser, page.context.storage_state())
            command.send_signal(signal.SIGINT)  # with a page that is open
            stderr = command.communicate(timeout=LIMIT_S)[1]
            assert stderr.replace("requests without the right key: 1\n", "") == ""
            page.context.close()


class Opened(NamedTuple):
    """A page, the hosts that it has sent requests to, and its errors."""

    page: Page
    hosts: set[str]
    errors: list[str]


@pytest.fixture
def opened(site: Site, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page, in a window of 1,280 pixels or as `request.param` says; it reaches no other host."""
    options = {"viewport": {"width": 1280, "height": 800}, **getattr(request, "param", {})}
    context = site.browser.new_context(storage_state=site.cookies, **options)
    opened = Opened(context.new_page(), set(), [])
    opened.page.on("request", lambda request: opened.hosts.add(request.url.partition("://")[2].partition("/")[0]))
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.errors.append(dialog.message))
    opened.page.goto(site.address)
    expect(question_box(opened.page)).to_be_visible()
    yield opened
    assert opened.hosts == {site.address.split("/")[2]}
    assert opened.errors == []
    context.close()


def question_box(page: Page) -> Locator:
    return page.get_by_placeholder("Ask a question")


def ask(page: Page, question: str = QUESTION) -> None:
    question_box(page).fill(question)
    question_box(page).press("Enter")


def figures(page: Page) -> Locator:
    """The last line of a finished answer."""
    return page.locator("#chat .figures").last


def thoughts(page: Page) -> Locator:
    return page.locator("#chat .thought-group > .title")


def open_thoughts(page: Page) -> None:
    """Open all thoughts at once: with the mouse, the next one moves while the one before it opens."""
    for thought in thoughts(page).all():
        thought.dispatch_event("click")


def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_the_key_is_asked(site: Site) -> None:
    assert httpx.get(f"{site.address}runs/T").status_code == 401
    context = site.browser.new_context()
    page = context.new_page()
    page.goto(site.address)
    page.get_by_label("The key of this server").fill("another key")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("This is not the key.")).to_be_visible()
    save_screenshot(page, "web-key")
    context.close()


PHONE = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}


@pytest.mark.parametrize("opened", [{}, PHONE, {"color_scheme": "dark"}], indirect=True, ids=["1280", "390", "dark"])
def test_a_run_fits_a_phone_and_a_desktop(site: Site, opened: Opened, request: pytest.FixtureRequest) -> None:
    site.groq.play([first("41", steps=[(LONG, LONG)]), refine("42", "revise", review=LONG)], [program()])
    page, name = opened.page, request.node.callspec.id
    assert fits(page)
    save_screenshot(page, f"web-empty-{name}")
    ask(page)
    expect(figures(page)).to_contain_text("2 turns · verified by a program")
    expect(figures(page)).to_contain_text("$0.0")
    expect(thoughts(page)).to_have_count(3)
    assert fits(page)
    save_screenshot(page, f"web-{name}")
    open_thoughts(page)
    expect(page.locator("#chat pre code").first).to_have_text("print(6 * 7)")
    expect(page.locator("#chat del").first).to_contain_text("41")
    assert fits(page)
    save_screenshot(page, f"web-open-{name}")
    page.locator("#settings .toggle-button").click()
    page.get_by_text("More settings").click()
    expect(page.get_by_label("Temperature").first).to_be_visible()
    assert fits(page)
    save_screenshot(page, f"web-settings-{name}")


def test_a_stop_ends_the_call_and_continue_goes_on(site: Site, opened: Opened) -> None:
    site.groq.play([first("42"), ENDLESS], ["NONE"])
    ask(opened.page)
    expect(opened.page.get_by_text("It asks for one number.").first).to_be_visible()
    expect(thoughts(opened.page).last).not_to_contain_text("not finished")
    save_screenshot(opened.page, "web-running")
    opened.page.locator("#question .stop-button").click()
    expect(opened.page.get_by_text("Stopped.")).to_be_visible()
    site.groq.wait(0)
    assert site.groq.disconnects == 1
    save_screenshot(opened.page, "web-stopped")
    site.groq.play([refine("42"), refine("42"), synthesis()])
    opened.page.locator("#resume").click()
    expect(figures(opened.page)).to_contain_text("3 turns")
    assert len(site.groq.requests) == 3


def test_a_review_asks_between_the_turns(site: Site, opened: Opened) -> None:
    site.groq.play([first("41"), refine("42", "revise"), synthesis()], ["NONE"])
    page = opened.page
    page.locator("#settings .toggle-button").click()
    page.get_by_label("Review", exact=True).click()
    page.get_by_role("option", name="each_turn").click()
    ask(page)
    expect(page.get_by_text("Your review of turn 1")).to_be_visible()
    save_screenshot(page, "web-review")
    page.get_by_label("A hint for the next step").fill("Count again.")
    page.locator("#review").get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Your review of turn 2")).to_be_visible()
    assert "Count again." in site.groq.requests[-1].messages[-1]["content"]
    page.get_by_role("button", name="No further turn").click()
    expect(figures(page)).to_contain_text("stopped by you")
    expect(page.locator("#review")).to_be_hidden()


def test_a_failure_of_the_provider_is_shown_in_words(site: Site, opened: Opened) -> None:
    site.groq.play([Reply(status=401)])
    ask(opened.page)
    expect(opened.page.locator("#chat p", has_text="There is no answer:")).to_contain_text("Invalid API Key")
    save_screenshot(opened.page, "web-failure")
    expect(opened.page.locator("#resume")).to_be_visible()


def test_html_and_scripts_are_shown_as_text(site: Site, opened: Opened) -> None:
    hostile = f"{HOSTILE_TEXT} ![x](https://example.org/y.png) `<b>` \\(1 < 2\\)"
    replies = [first(hostile), *[refine(hostile)] * 2, synthesis(hostile, hostile)]
    site.groq.play(replies, [program(f"# {HOSTILE_TEXT}\n1/0")] * 2)
    page = opened.page
    ask(page, f"Is {HOSTILE_TEXT} < 3?")
    expect(figures(page)).to_be_visible()
    open_thoughts(page)
    expect(page.locator("#chat").get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert page.locator("#chat script, #chat img, #chat .title .katex").count() == 0
    expect(page.locator("#chat code").get_by_text("<b>", exact=True).first).to_be_visible()
    save_screenshot(page, "web-hostile")


def test_a_changed_setting_is_in_the_request(site: Site, opened: Opened) -> None:
    site.groq.play()
    page = opened.page
    page.locator("#settings .toggle-button").click()
    page.locator("#setting-model").get_by_role("textbox").fill("groq:openai/gpt-oss-20b")
    page.locator("#setting-max_turns input[type=number]").fill("1")
    page.locator("#setting-max_turns input[type=number]").blur()
    ask(page)
    expect(figures(page)).to_contain_text("1 turn ·")
    assert [request.body["model"] for request in site.groq.requests] == ["openai/gpt-oss-20b"]


def test_settings_that_were_only_looked_at_stay_unset(site: Site, opened: Opened) -> None:
    site.groq.play()
    page = opened.page
    page.locator("#settings .toggle-button").click()
    page.get_by_text("More settings").click()
    for name in ("token_budget", "max_cost_usd", "deadline_s"):
        expect(page.locator(f"#setting-{name}").locator("input, textarea")).to_have_value("")
    page.locator("#setting-max_tokens").locator("input, textarea").fill("")  # cleared: the default
    ask(page)
    expect(figures(page)).to_be_visible()


def test_a_model_that_is_not_allowed_is_refused(site: Site, opened: Opened) -> None:
    site.groq.play()
    opened.page.locator("#settings .toggle-button").click()
    opened.page.locator("#setting-model").get_by_role("textbox").fill("openai:gpt-5")
    ask(opened.page)
    expect(opened.page.locator("#chat")).to_contain_text("not allowed on this server")
    assert site.groq.requests == []


def test_a_thread_of_the_command_line_continues(site: Site, opened: Opened, tmp_path: Path) -> None:
    site.groq.play()
    llamaberry("ask", "How far is it?", "--thread", "far", "--turns", "1", "--quiet", **site.environment)
    page = opened.page
    page.get_by_role("button", name="Refresh the list").click()
    page.locator("#thread-list").get_by_text("How far is it?").click()
    expect(figures(page)).to_contain_text("1 turn")
    ask(page, "And back?")
    expect(page.locator("#chat .figures")).to_have_count(2)
    assert "How far is it?" in str(site.groq.requests[-1].messages)
    link = figures(page).get_by_role("link")
    with page.context.expect_page() as run:
        link.click()
    expect(run.value.get_by_role("heading", name="And back?")).to_be_visible()


def test_an_edited_question_is_asked_again(site: Site, opened: Opened) -> None:
    site.groq.play()
    page = opened.page
    ask(page, "Why is the sky green?")
    expect(figures(page)).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    editor, row = page.locator("#chat textarea").bounding_box(), page.locator("#chat .user-row").bounding_box()
    assert editor
    assert row
    assert editor["width"] > row["width"] * 0.8
    save_screenshot(page, "web-edit")
    page.locator("#chat textarea").fill("Why is the sky blue?")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#thread-list label")).to_contain_text(["Why is the sky blue?", "Why is the sky green?"])
    expect(page.locator("#chat [data-testid=user]")).to_have_text("Why is the sky blue?")
    assert "green" not in str(site.groq.requests[-1].messages)


def test_a_click_on_an_example_asks_it(site: Site, opened: Opened) -> None:
    site.groq.play()
    opened.page.get_by_text("A rectangle is 8 cm by 5 cm.").click()
    expect(figures(opened.page)).to_be_visible()
    assert "A rectangle is 8 cm by 5 cm." in str(site.groq.requests[0].messages)


def test_a_space_refuses_to_start_without_a_key() -> None:
    app = Path(__file__).parents[2] / "examples" / "space" / "app.py"
    environment = {**os.environ, "PORT": "0"}
    run = subprocess.run([*PYTHON, app], env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "would listen on 0.0.0.0 without a key" in run.stderr
