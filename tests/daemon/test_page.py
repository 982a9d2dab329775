"""The page at / in a browser: light and dark, narrow and wide, by keyboard, without an error in the console."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import Running, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the path")

ALARMING = ("--label", "y", "--learner", "sgd", "--patience", "100", "--warm-up", "10", "--tolerance", "0")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def alarming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon with an alarm."""
    daemon = Running(tmp_path_factory.mktemp("page"), *ALARMING)
    daemon.post("/v1/events", [{"x": n % 7 / 7, "y": int(n % 4 > 0)} for n in range(2000)])
    daemon.post("/v1/commands/freeze", b"")
    daemon.post("/v1/events", [{"x": n % 7 / 7, "y": int(n % 4 == 0)} for n in range(400)])
    assert daemon.json("/v1/alarms")["alarms"]
    yield daemon
    daemon.end(9)


def opened(browser: Any, url: str, width: int, scheme: str) -> tuple[Any, list[str]]:
    """The page, and what its console complains of."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults: list[str] = []
    page.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda asked: faults.append(f"{asked.url}: {asked.failure}"))
    page.goto(url)
    page.wait_for_selector("#figures dd")
    return page, faults


@pytest.mark.parametrize("width", [390, 1400])
def test_light_and_dark_at_every_width(browser: Any, alarming: Running, tmp_path: Path, width: int) -> None:
    grounds, faults = {}, []
    for scheme in ("light", "dark"):
        page, found = opened(browser, alarming.url, width, scheme)
        page.wait_for_selector("#reliability circle")
        page.wait_for_selector("#evidence svg path.curve", state="attached")  # level, so of no height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(box["width"] >= 200 for box in (chart.bounding_box() for chart in page.query_selector_all(".chart")))
        grounds[scheme] = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        if grounds[scheme] == "rgba(0, 0, 0, 0)":
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        picture = tmp_path / f"{scheme}-{width}.png"
        page.screenshot(path=str(picture), full_page=True)
        assert picture.stat().st_size > 20_000
        faults += found
        page.close()
    assert faults == []
    assert luminance(grounds["light"]) > 200
    assert luminance(grounds["dark"]) < 60


def luminance(color: str) -> float:
    parts = [float(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3]]
    return sum(parts) / 3


def test_an_alarm_is_acknowledged_by_keyboard_alone(browser: Any, alarming: Running) -> None:
    page, faults = opened(browser, alarming.url, 1400, "light")
    button = page.wait_for_selector("#alarms button")
    assert button.get_attribute("aria-label") == f"Acknowledge alarm {button.get_attribute('data-alarm')}"
    number = int(button.get_attribute("data-alarm"))
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.dataset?.alarm") == str(number):
            break
    assert page.evaluate("document.activeElement?.dataset?.alarm") == str(number)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")

    def acknowledged() -> bool:
        return any(each["id"] == number and each["acknowledged"] for each in alarming.json("/v1/alarms")["alarms"])

    assert until(acknowledged)
    page.wait_for_selector(f"#alarms li.acknowledged:has-text('{number}.')")
    assert faults == []
    page.close()


def test_without_a_token_it_says_what_is_needed(browser: Any, serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("score-score-score score\n")
    daemon = serve("--label", "y", "--tokens", "tokens")
    page = browser.new_page()
    page.goto(daemon.url)
    page.wait_for_selector("#state:has-text('#token=TOKEN')")
    page.close()
    page, faults = opened(browser, f"{daemon.url}/#token=score-score-score", 390, "light")
    page.wait_for_selector("#state:has-text('waiting for the first events')")
    assert faults == []
    page.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_challengers_and_drift_have_tables(
    browser: Any, serve: Callable[..., Running], tmp_path: Path, width: int
) -> None:
    settings = '[monitor]\nfeatures = true\nreference = 1000\n[[challengers]]\nname = "quick"\nlearner = "ftrl"\n'
    (tmp_path / "told.toml").write_text(settings)
    daemon = serve("told.toml", "--label", "y", "--learner", "sgd")
    for start in range(0, 6000, 1000):
        rows = [{"x": n % 7 / 7 + (start > 2000), "y": int(n % 4 > 0)} for n in range(start, start + 1000)]
        assert daemon.post("/v1/events", rows).status_code == 200
    page, faults = opened(browser, daemon.url, width, "light")
    page.wait_for_selector("#drift-table tbody tr")
    assert [cell.inner_text() for cell in page.query_selector_all("#models-table tbody th")] == ["initial", "quick"]
    assert "x" in [cell.inner_text() for cell in page.query_selector_all("#drift-table tbody th")]
    assert page.query_selector("#models-table tbody tr:nth-child(2) td:last-child").inner_text().count(" to ") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []
    page.close()
