"""The app as people use it, clicked through in Chromium: on a wide screen and on a phone, in light and dark."""

import contextlib
import io
import re
import shutil
import socket
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.fixtures.app import LONG_NAME
from wordsight.example_photos import load_photos

expect.set_options(timeout=20_000)  # 5 s by default, in which a busy machine may start no process

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium for the browser tests; get it with: apt-get install chromium", allow_module_level=True)
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
SCREENS = [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS[:2], ids=lambda screen: f"{screen[0]}-{screen[1]}")
def screen(request):
    return request.param


@pytest.fixture
def page(browser, app, screen):
    """A fresh visit; nothing may be asked of another machine, and no script may fail."""
    width, scheme = screen
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((app.address, "data:", "blob:")) else complaints.append(asked.url),
    )
    page.goto(app.address)
    page.get_by_role("tab", name="Label", exact=True).wait_for()
    yield page
    assert not complaints
    context.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in load_photos().items():
        photo.save(folder / f"{name}.jpg")
    return folder


def look(page, screen, name):
    """Keeps a screenshot; nothing is wider than the screen, and no block lies on another."""
    expect(page.locator(".progress-text:visible")).to_have_count(0)
    page.wait_for_function("[...document.images].every(image => image.complete)")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}-{screen[0]}-{screen[1]}.png"
    page.screenshot(path=path, full_page=True, animations="disabled")
    assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.block, button[role=tab], #note, #summary, #about, #groups, #status')]
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().height > 0)
        .filter((e, _, all) => !all.some(other => other !== e && other.contains(e)))
        .map(e => [e.id || e.className, e.getBoundingClientRect()])
        .map(([name, box]) => [name, box.left, box.top, box.right, box.bottom])"""
    )
    for i, (one, *a) in enumerate(boxes):
        for other, *b in boxes[i + 1 :]:
            apart = a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
            assert apart, f"{one} and {other} overlap"


def upload(page, *paths):
    page.locator("#photos input[type=file]").set_input_files([str(path) for path in paths])
    page.locator("#labels button").first.wait_for()


def wraps(locator):
    """Whether all of an element's words are in sight."""
    return locator.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_label_photos_and_see_where(page, screen, photos):
    look(page, screen, "start")
    others = sorted({path.stem for path in photos.iterdir()} - {"chelsea", "flower"})
    upload(page, *(photos / f"{name}.jpg" for name in ("chelsea", "flower", *others)))
    expect(page.locator("#labels button").first).to_contain_text("cat")
    thumbnails, picture = page.locator("#gallery .thumbnail-item"), page.locator("#picture img")
    expect(thumbnails).to_have_count(2 + len(others))
    for box in (thumbnail.bounding_box() for thumbnail in thumbnails.all()):
        assert box["x"] >= 0 and box["x"] + box["width"] <= screen[0]
    look(page, screen, "labeled")
    before = picture.get_attribute("src")
    page.locator("#labels button").first.click()
    expect(page.locator("#note")).to_contain_text("areas support cat")
    expect(picture).not_to_have_attribute("src", before)
    look(page, screen, "where")
    page.locator("#gallery .thumbnail-item").nth(1).click()
    expect(page.locator("#labels button").first).to_contain_text("flower")


def test_threshold_top_k_and_code(page, screen, photos, tmp_path, monkeypatch):
    upload(page, photos / "chelsea.jpg")
    threshold, top_k = page.get_by_role("slider").nth(0), page.get_by_role("slider").nth(1)
    threshold.fill("0")
    top_k.fill("8")
    expect(page.locator("#labels button")).to_have_count(8)
    assert wraps(page.locator("#labels button", has_text=LONG_NAME))
    look(page, screen, "long-names")
    page.get_by_role("button", name="Python code").click()
    expect(page.locator("#code")).to_contain_text("top_k=8")
    shutil.copy(photos / "chelsea.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(page.locator("#code .cm-content").inner_text(), {})
    assert printed.getvalue().startswith("[{'label': 'cat'") and printed.getvalue().count("label") == 8
    look(page, screen, "code")
    threshold.fill("1")
    expect(page.locator("#note")).to_contain_text("No label reaches the threshold 1.00. The best one is cat")


def test_where_it_comes_from(page, screen):
    page.get_by_role("tab", name="About the model").click()
    expect(page.locator("#summary")).to_contain_text("8 categories")
    expect(page.locator("#groups")).to_contain_text("Similar attributes")
    long = page.locator("#groups li", has_text=LONG_NAME).first
    expect(long).to_be_visible()
    assert wraps(long)
    expect(page.locator("#curve img")).to_be_visible()
    page.locator("#category input").click()
    page.get_by_role("option", name="rocket").click()
    expect(page.locator("#about")).to_contain_text("the shape of a rocket")
    expect(page.locator("#about")).to_contain_text("a rocket in a room")
    expect(page.get_by_role("option")).to_have_count(0)
    look(page, screen, "about")


@pytest.mark.parametrize("screen", SCREENS[:1], ids=["1280-light"])
def test_train_a_new_one_and_use_it(page, screen):
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#status")).to_contain_text("category list is empty")
    page.get_by_label("Categories").fill("cat, kitten\nflower\nhouse")
    page.locator("#sentences input[type=number]").fill("60")
    page.locator("#sentences input[type=number]").press("Enter")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#status li.running progress")).to_be_visible()
    look(page, screen, "training")
    label_tab = page.get_by_role("tab", name="Label", exact=True)
    expect(label_tab).to_have_attribute("aria-selected", "true", timeout=300_000)
    expect(page.get_by_label("Model", exact=True)).to_have_value("cat, flower, house")
    page.get_by_role("slider").nth(0).fill("0")
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#labels button")).to_have_count(3)
    look(page, screen, "trained")
    page.get_by_role("tab", name="About the model").click()
    expect(page.locator("#summary")).to_contain_text("3 categories")


@pytest.mark.parametrize("screen", SCREENS[1:2], ids=["390-dark"])
def test_cancel(page, screen):
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Categories").fill("horse\nbridge\nlamp")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#status li.running")).to_be_visible()
    look(page, screen, "training")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_contain_text("everything it started has ended", timeout=60_000)
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    look(page, screen, "canceled")


def focused(page):
    """Role, type and surrounding block of what the keyboard is at."""
    return page.evaluate(
        """() => { const at = document.activeElement, block = at.closest('#examples, #labels');
        return {role: at.getAttribute('role'), type: at.type, block: block ? block.id : null} }"""
    )


def tab_to(page, found, most=60):
    for _ in range(most):
        page.keyboard.press("Tab")
        if found(focused(page)):
            return
    raise AssertionError(f"not reached with {most} tabs")


@pytest.mark.parametrize("screen", SCREENS[2:], ids=["1280-dark", "390-light"])
def test_keyboard_alone(page, screen):
    tab_to(page, lambda at: at["role"] == "tab")
    tab_to(page, lambda at: at["type"] == "range")
    page.keyboard.press("ArrowLeft")
    tab_to(page, lambda at: at["block"] == "examples")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#labels button").first).to_contain_text("cat")
    tab_to(page, lambda at: at["block"] == "labels")
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_contain_text("areas support cat")
    look(page, screen, "keyboard")
    tab_to(page, lambda at: at["type"] == "submit" and not at["block"])  # the section with the code
    page.keyboard.press("Enter")
    expect(page.locator("#code")).to_contain_text("threshold=0.49")
    page.reload()
    tab_to(page, lambda at: at["role"] == "tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="About the model")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#curve img")).to_be_visible()
    look(page, screen, "about")


def test_addresses(page, screen, app, monkeypatch):
    """Of something else than http, of nothing, and of a server that does not answer."""
    monkeypatch.setattr("wordsight.pipelines.image_io.URL_TIMEOUT", 0.5)
    address = page.get_by_label("or the URL of a photo")
    address.fill("ftp://example.org/photo.jpg")
    page.get_by_role("button", name="Label", exact=True).click()
    expect(page.get_by_text(re.compile("begins with https"))).to_be_visible()
    address.fill(f"{app.address}no-photo.jpg")
    page.get_by_role("button", name="Label", exact=True).click()
    expect(page.locator("#problems")).to_contain_text("returned status 404. Check the address.")
    look(page, screen, "problem")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address.fill(f"http://127.0.0.1:{silent.getsockname()[1]}/photo.jpg")
        page.get_by_role("button", name="Label", exact=True).click()
        expect(page.locator("#problems")).to_contain_text("does not answer within 0.5 s")
