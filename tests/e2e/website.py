"""The built site (`make site`) in a browser: what it asks of the network, how it reads on a laptop and on a phone, by
light and by dark, on paper, with a keyboard and for a screen reader; the slider's numbers against the package's; and
the slides of a small notebook.

axe-core finds what is wrong for assistive technology, https://github.com/dequelabs/axe-core.
"""

import functools
import http.server
import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest

import kdtutor as kd
from kdtutor import metrics
from kdtutor.course import publishing, teachers

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
sys.path.insert(0, str(ROOT / "notebooks" / "site"))  # its modules aren't part of the package
AXE = ROOT / "build" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
COURSE = ["course", *(f"notebooks/{path.stem}" for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")))]
CUT_OFF = """() => [...document.querySelectorAll("article *")].filter(one => {
    const scrolls = (parent) => parent && parent.tagName !== "ARTICLE"
        && (["auto", "scroll"].includes(getComputedStyle(parent).overflowX) || scrolls(parent.parentElement));
    return one.getBoundingClientRect().right > innerWidth + 1 && !scrolls(one) && !one.closest("mjx-assistive-mml");
}).map(one => one.outerHTML.slice(0, 200))"""
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address():
    """Where the site is served."""
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def visit(browser):
    """Open an address; the page, which notes in `faults` what failed and in `asked` what was asked of the network."""
    contexts = []

    def visit(url, *, viewport=LAPTOP, scheme="light", javascript=True):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, java_script_enabled=javascript)
        contexts.append(context)
        page = context.new_page()
        page.faults, page.asked = [], []
        page.on("console", lambda message: message.type in ("error", "warning") and page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("requestfailed", lambda request: page.faults.append(f"failed: {request.url}"))
        page.on("response", lambda response: response.status >= 400 and page.faults.append(f"missing: {response.url}"))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        if javascript and page.locator(".math").count():
            page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
            page.evaluate("MathJax.startup.promise")
        return page

    yield visit
    for context in contexts:
        context.close()


def test_the_site_was_built():
    assert {"index.html", "search.html", *(f"{name}.html" for name in COURSE)} <= {*PAGES}, "`make site` builds it"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_asks_no_other_host_and_has_no_serious_fault_of_accessibility(
    visit, address, shots, name, scheme
):
    page = visit(f"{address}/{name}", scheme=scheme)
    assert [url for url in page.asked if not url.startswith((f"{address}/", "data:"))] == []
    assert page.faults == []
    images = page.locator("article img").evaluate_all("all => all.map(one => [one.alt, one.naturalWidth])")
    assert [image for image in images if not (image[0].strip() and image[1])] == []
    formulas = page.locator("article .math").count()
    assert page.locator("article .math mjx-container").count() >= formulas
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")["violations"]
    serious = [
        f"{fault['id']}: {node['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
    assert serious == []
    picture(page, shots, f"{name}-{scheme}")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_on_a_phone(visit, address, shots, name):
    page = visit(f"{address}/{name}", viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(CUT_OFF) == []
    assert page.locator("h1").first.bounding_box()["y"] < PHONE["height"] / 2
    picture(page, shots, f"{name}-phone")
    cells = page.locator("article .cell_input").count()
    assert page.locator("article details:not([open]) > .cell_input").count() == cells, "code folds"
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    code = page.locator("article .highlight pre:not(.cell_output *)")
    assert code.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length") == 0, "cut off"


def picture(page, shots, name):
    path = shots / "site" / f"{name.replace('/', '-').replace('.html', '')}.png"
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=path, full_page=True)


def test_the_first_screen_says_what_it_is_and_shows_a_measured_result_and_the_slider(visit, address):
    page = visit(f"{address}/index.html")
    for shown in ("h1", "text=trains a small network on the answers of a large one", ".doors", ".front img", ".slider"):
        box = page.locator(shown).first.bounding_box()
        assert box["y"] >= 0, shown
        assert box["y"] + box["height"] <= LAPTOP["height"], shown


def test_the_course_has_for_each_notebook_a_picture_an_outcome_and_a_time(visit, address):
    page = visit(f"{address}/course.html")
    rows = page.locator(".notebooks tbody tr")
    assert rows.count() == len(COURSE) - 1
    for row, name in zip(rows.all(), COURSE[1:], strict=True):
        assert row.locator("a").get_attribute("href") == f"{name}.html"
        learnt, reading, running = row.locator("td").all_inner_texts()[1:]
        assert len(learnt.splitlines()[1]) > 10
        assert re.fullmatch(r"\d+\smin", reading)
        assert re.fullmatch(r"\d+\ss", running)
        drawn = "image/png" in (ROOT / f"{name}.ipynb").read_text(encoding="utf-8")
        assert row.locator("img").count() == drawn


def test_what_we_found_begins_with_three_findings(visit, address):
    page = visit(f"{address}/claims.html")
    findings = page.locator("article h2").first.locator("xpath=following-sibling::ul[1]/li")
    assert page.locator("article h2").first.inner_text().startswith("Three findings that surprise")
    assert findings.count() == findings.locator("a").count() == 3


def test_code_folds_on_a_laptop_only_where_the_notebook_hides_it(visit, address):
    for name in COURSE[1:]:
        notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
        only_for_colab = publishing.course_cell(notebook)
        hidden = [cell for cell in notebook.cells if "hide-input" in cell.metadata.get("tags", [])]
        folded = [cell for cell in hidden if cell is not only_for_colab]
        page = visit(f"{address}/{name}.html")
        assert page.locator("article details:not([open]) > .cell_input").count() == len(folded)
        assert page.locator("article details.fold").count() == 0


def test_the_cheat_sheet_is_one_sheet_of_paper(visit, address):
    page = visit(f"{address}/cheatsheet.html")
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_a_first_visit_loads_little_and_the_whole_is_small(visit, address):
    page = visit("about:blank")
    loaded = []
    page.on("response", lambda response: loaded.append(len(response.body())))
    page.goto(f"{address}/index.html", wait_until="networkidle")
    assert 100_000 < sum(loaded) < 500_000
    assert sum(path.stat().st_size for path in SITE.rglob("*")) < 15_000_000


def test_the_course_can_be_walked_from_page_to_page(visit, address):
    page = visit(f"{address}/{COURSE[0]}.html")
    for name in COURSE[1:]:
        page.locator("a.right-next").click()
        page.wait_for_url(f"{address}/{name}.html")
        assert re.search(r"\d+ min to read, \d+ s to run", page.locator(".launch").inner_text())
    page.locator("a.left-prev").click()
    page.wait_for_url(f"{address}/{COURSE[-2]}.html")


class Links(HTMLParser):
    """The addresses that a page names, and the places in it that can be named."""

    def __init__(self, path):
        super().__init__()
        self.named, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.named += [attributes[key] for key in ("href", "src") if key in attributes]
        self.places.add(attributes.get("id"))


def test_no_link_within_the_site_is_dead():
    links = {SITE / name: Links(SITE / name) for name in PAGES}
    dead = []
    for path, page in links.items():
        for link in page.named:
            url, place = urldefrag(link)
            if urlsplit(url).scheme:
                continue
            target = (path.parent / unquote(urlsplit(url).path)).resolve() if url else path
            known = target not in links or not place or unquote(place) in links[target].places
            if not (target.is_file() and known):
                dead.append(f"{path.relative_to(SITE)}: {link}")
    assert dead == []
    assert sum(len(page.named) for page in links.values()) > 500


def test_without_an_address_no_page_links_to_the_course_elsewhere():
    if publishing.repository():
        pytest.skip("this copy has an address")
    links = [link for name in PAGES for link in Links(SITE / name).named]
    assert [link for link in links if "colab.research" in link] == []


def test_with_an_address_each_notebook_can_be_launched(tmp_path):
    list_files = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(list_files, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "node").symlink_to(ROOT / "build" / "node")
    own = os.environ | {"PYTHONPATH": str(tmp_path)}
    for command in (["-m", "kdtutor", "publish", "some/fork"], ["notebooks/site/build.py"]):
        subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, env=own)
    for name in COURSE[1:]:
        named = Links(tmp_path / "build" / "site" / f"{name}.html").named
        assert f"https://colab.research.google.com/github/some/fork/blob/main/{name}.ipynb" in named
        assert f"https://github.com/some/fork/blob/main/{name}.ipynb" in named
        assert "https://github.com/some/fork" in named
        assert not [link for link in named if "colab-badge" in link], "the site asks nothing of another host"


@pytest.mark.parametrize("served", [True, False], ids=["served", "from a folder"])
def test_the_search_finds_pages_also_without_a_server(visit, address, served):
    page = visit(f"{address if served else SITE.as_uri()}/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("calibration")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    titles = page.locator("#search-results li a").all_inner_texts()
    assert any("Does it help" in title for title in titles)
    assert [url for url in page.asked if not url.startswith((address, SITE.as_uri(), "data:"))] == []


def test_the_keyboard_reaches_the_text_the_theme_and_the_slider(visit, address):
    page = visit(f"{address}/index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.type || document.activeElement.textContent.trim()"))
        focus = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert focus != "none" or page.evaluate("document.activeElement === document.body"), seen
    assert {"range", "radio", "Start the course", "For instructors"} <= seen


def test_the_theme_can_be_switched_and_stays(visit, address):
    page = visit(f"{address}/index.html")
    button = page.locator(".theme-switch-button:visible")
    button.click()
    page.locator("[data-mode=dark]:visible, .theme-switch-container [data-mode-value=dark]:visible").first.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.goto(f"{address}/course.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.fixture(scope="module")
def shown():
    """The teacher's logits for the images that the slider shows, and the place among them of notebook 2's image."""
    data = kd.load("mnist", fallback="strokes")
    logits = kd.predict(teachers.load_teacher(data.name)[0], data.validation).double()
    site_module = importlib.import_module("slider")
    p = kd.soften(logits, 1.0)
    images = site_module.chosen(p, data.validation.labels)
    of_notebook = site_module.most_like(p, data.validation.labels, 2, 7, above=0.9)
    return logits[images], images.index(of_notebook)


def numbers(page):
    """What the slider's figure says: probabilities, widths of bars in percent, entropy, T."""
    shown = page.locator(".slider td:last-child").all_inner_texts()
    bars = page.locator(".slider-bar span").evaluate_all("all => all.map(one => parseFloat(one.style.width))")
    entropy, temperature = (page.locator(f".slider {one}").inner_text() for one in (".slider-entropy", "label output"))
    return [float(value) for value in shown], bars, float(entropy), float(temperature)


@pytest.mark.parametrize("name", ["index", "notebooks/02_temperature_scaling"])
def test_the_slider_shows_what_the_package_computes(visit, address, shown, name):
    page = visit(f"{address}/{name}.html")
    for image, z in enumerate(shown[0]):
        page.locator(".slider input[type=radio]").nth(image).check()
        for exponent in (-1, 0, 0.6, 1, 2):
            page.locator(".slider input[type=range]").evaluate(
                "(one, value) => { one.value = value; one.dispatchEvent(new Event('input')) }", str(exponent)
            )
            probabilities, bars, entropy, temperature = numbers(page)
            assert temperature == float(f"{10**exponent:.2g}")
            p = kd.soften(z, temperature)
            assert probabilities == pytest.approx(p.tolist(), abs=0.5001e-4)
            assert bars == pytest.approx((100 * p).tolist(), abs=1e-3)
            assert entropy == pytest.approx(metrics.entropy(p).item(), abs=0.5001e-3)
    assert page.faults == []


def test_the_slider_moves_by_keyboard_and_says_so(visit, address):
    page = visit(f"{address}/index.html")
    before = numbers(page)
    page.locator(".slider input[type=range]").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    after = numbers(page)
    assert (before[3], after[3]) == (3, 4)
    assert after[2] > before[2]
    assert page.locator(".slider input[type=range]").get_attribute("aria-valuetext") == "T = 4"


@pytest.mark.parametrize("javascript", [True, False])
def test_the_slider_starts_on_an_uncertain_image_at_t_3_and_in_notebook_2_on_its_own(visit, address, shown, javascript):
    logits, of_notebook = shown
    entropy = metrics.entropy(kd.soften(logits, 1.0))
    assert entropy.argmax() == 0
    for name, image in (("index", 0), ("notebooks/02_temperature_scaling", of_notebook)):
        page = visit(f"{address}/{name}.html", javascript=javascript)
        assert page.locator(".slider input:checked").get_attribute("value") == str(image)
        probabilities, _, bits, temperature = numbers(page)
        p = kd.soften(logits[image], 3.0)
        assert temperature == 3
        assert probabilities == pytest.approx(p.tolist(), abs=0.5001e-4)
        assert bits == pytest.approx(metrics.entropy(p).item(), abs=0.5001e-3)
        assert page.locator(".slider input[type=range]").is_disabled() != javascript


def test_slides_show_without_a_network_step_by_step(visit, tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# A small lecture\n\nWith $T^2$ in it."),
        nbformat.v4.new_code_cell("print(1)", outputs=[nbformat.v4.new_output("stream", text="1\n")]),
        nbformat.v4.new_markdown_cell("## A second slide"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "00_small.ipynb")
    importlib.import_module("slides").main([tmp_path / "00_small.ipynb"], tmp_path / "slides")

    page = visit((tmp_path / "slides" / "index.html").as_uri())
    page.get_by_role("link", name="A small lecture").click()
    page.wait_for_function("window.Reveal?.isReady() && MathJax.startup.promise")
    page.evaluate("MathJax.startup.promise")
    assert page.locator("section p mjx-container").count() == 1
    assert page.evaluate("Reveal.getSlides().length") == 2
    steps = 0
    while not page.evaluate("Reveal.isLastSlide()"):
        page.keyboard.press("ArrowRight")
        steps += 1
    assert steps == 3, "the code, its output, the second slide"
    assert page.faults == []
    assert [url for url in page.asked if not url.startswith((tmp_path.as_uri(), "data:"))] == []
