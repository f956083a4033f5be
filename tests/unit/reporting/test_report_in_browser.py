"""The report in a browser: without the network and without errors, by mouse and by keyboard, on a desk and on a phone."""

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import make_report
from unit.chromium import CHROMIUM, Page, chromium
from unit.evaluation_data import CONFIG
from unit.reporting_world import HOSTILE, write_world

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_world(root)
        make_report.main(["--config", str(CONFIG)])
        yield root / "results/report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as new_page:
        yield new_page


@pytest.fixture
def page(browser, report: Path) -> Iterator[Page]:
    """The report on a desk; what it logs or asks the network for fails the test."""
    found = browser()
    found.size(1280, 900)
    found.open(report)
    yield found
    assert found.faults == []
    assert found.requests == []


def texts(page: Page, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)")


def put(page: Page, selector: str, value: str, event: str = "change") -> None:
    """Give a field a value, as a user does."""
    field = f"document.querySelector({json.dumps(selector)})"
    page.run(f"{field}.value = {json.dumps(value)}; {field}.dispatchEvent(new Event({event!r}))")


def press_button(page: Page, within: str, label: str) -> None:
    """Press the button with that label."""
    buttons = f"[...document.querySelectorAll({json.dumps(within + ' button')})]"
    page.run(f"{buttons}.find((one) => one.textContent === {label!r}).click()")


def drawn(page: Page) -> None:
    """Bring every figure into view until it is drawn."""
    for place in range(page.run("document.querySelectorAll('figure').length")):
        page.run(f"document.querySelectorAll('figure')[{place}].scrollIntoView()")
        page.wait(f"document.querySelectorAll('figure')[{place}].querySelector('.plot').dataset.drawn === 'yes'")


def test_texts_of_models_stay_texts(page: Page) -> None:
    page.run("document.querySelector('#list [data-place=\"2\"]').click()")
    assert texts(page, "#detail p")[0].endswith(HOSTILE)
    assert page.run("typeof hit") == "undefined"
    assert page.run("document.querySelectorAll('img, #detail b').length") == 0


def test_a_table_is_sorted_searched_narrowed_and_copied(page: Page) -> None:
    table = "article[data-table=grace_table1_2]"
    first = f"[...document.querySelectorAll('{table} tbody tr')].map((row) => row.cells[0].textContent)"
    before = page.run(first)
    assert len(before) == 5
    sort = f"document.querySelector('{table} thead th:nth-child(1) .dt-column-order')"
    page.run(f"{sort}.click()")
    assert page.wait(f"{first}.join() !== {before!r}.join() && {first}") == sorted(before, key=str.lower)
    put(page, f"{table} input", "self-consistency", "input")
    assert 0 < page.run(f"{first}.length") < len(before)
    put(page, f"{table} input", "", "input")
    columns = len(texts(page, f"{table} thead th"))
    place = page.run(
        f"[...document.querySelectorAll('{table} option')].find((one) => one.text.includes('SVAMP')).value"
    )
    put(page, f"{table} select", place)
    assert columns > len(texts(page, f"{table} thead th")) == 2
    rows = [["a|b", "50 % & more"], ["1,5", "x_y"]]
    assert page.run(f"FORMATS.CSV({rows})") == 'a|b,50 % & more\n"1,5",x_y\n'
    assert page.run(f"FORMATS.Markdown({rows})") == "| a\\|b | 50 % & more |\n| --- | --- |\n| 1,5 | x_y |\n"
    assert "a|b & 50 \\% \\& more \\\\\n" in page.run(f"FORMATS.LaTeX({rows})")
    page.run(
        "window.copied = []; document.execCommand = (word) => copied.push(word, document.activeElement.value);"
        "if (navigator.clipboard) navigator.clipboard.writeText = async () => { throw 0; }"
    )
    press_button(page, table, "Copy CSV")
    word, text = page.wait("copied.length && copied")
    assert word == "copy"
    assert len(text.splitlines()) == len(before) + 1, "the rows that are shown, and the heading"
    assert all(line.count(",") == 1 for line in text.splitlines()), "the columns that are shown"


def test_predictions_are_filtered_and_searched(page: Page) -> None:
    chosen = "[...document.querySelectorAll('#method-a, #method-b')].map((one) => one.selectedOptions[0].textContent)"
    assert page.run(chosen) == ["grace", "greedy"]
    numbers = range(1, 41)
    grace, greedy = ({n for n in numbers if n % 4}, {n for n in numbers if n % 3 == 0})
    expected = {
        "10": grace - greedy, "01": greedy - grace, "11": grace & greedy, "00": set(numbers) - grace - greedy,
        "differ": grace ^ greedy, "all": set(numbers),
    }  # fmt: skip
    for name, wanted in expected.items():
        put(page, "#filter", name)
        page.wait(f"document.getElementById('count').textContent === '{len(wanted)} of 40 questions'")
        shown = page.run("[...document.querySelectorAll('#list button')].map((one) => Number(one.dataset.place) + 1)")
        assert set(shown) == wanted, name
    put(page, "#search", "has 27 apples", "input")
    page.wait("document.getElementById('count').textContent === '1 of 40 questions'")
    put(page, "#search", "zebra", "input")
    page.wait("document.getElementById('detail').textContent.includes('No question matches')")


def test_a_question_shows_candidates_the_calculator_and_the_first_wrong_step(page: Page, report: Path) -> None:
    page.open(report, "#q=4&a=grace&b=self_consistency")
    assert texts(page, "#detail h3") == ["Question 4"]
    assert page.run("getComputedStyle(document.querySelector('.side .departs')).color") == "rgb(179, 38, 30)"
    assert texts(page, ".side:first-child .departs")[0].startswith("🍎 <<7+6=13>> |")
    assert texts(page, ".side:first-child .departs u") == ["13>>"]
    second = ".side:first-child details:nth-of-type(2)"
    assert texts(page, f"{second} summary") == ["4 candidates, 3 different"]
    assert "✓ chosen" in texts(page, f"{second} .taken")[0]
    assert "2 times" in texts(page, f"{second} .taken")[0]
    widths = page.run(f"[...document.querySelectorAll('{second} .bar')].map((bar) => parseFloat(bar.style.width))")
    assert widths[0] == 100
    assert widths == sorted(widths, reverse=True)
    assert [text.split(" ", 1)[1] for text in texts(page, ".side:last-child .candidates > li")] == ["2 of 3", "1 of 3"]
    assert "3 samples" in "".join(texts(page, ".side:last-child summary"))


def test_a_link_names_question_and_methods(page: Page, report: Path) -> None:
    page.open(report, "#q=17")
    assert texts(page, "#detail h3") == ["Question 17"]
    page.run("location.hash = 'q=8&a=greedy&b=grace'")
    page.wait("document.querySelector('#detail h3').textContent === 'Question 8'")
    assert texts(page, ".side > h4") == ["A: greedy", "B: grace"]
    page.run("location.hash = 'q=999'")
    page.wait("document.getElementById('count').textContent.includes('question 999 is not among them')")


def test_everything_goes_by_keyboard(page: Page, report: Path) -> None:
    page.run("document.querySelector('#list button').focus()")
    for key in ("ArrowDown", "j", "k", "ArrowDown"):
        page.press(key)
    assert page.run("location.hash") == "#q=3&a=grace&b=greedy"
    assert page.run("document.activeElement.dataset.place") == "2"
    page.press("ArrowUp")
    page.press("Enter")
    assert texts(page, "#detail h3") == ["Question 2"]
    page.run("document.querySelector('.graph a').focus()")
    page.press("Enter")
    page.wait("document.getElementById('step-0').open")
    assert page.run("document.activeElement.tagName") == "SUMMARY"
    page.open(report)
    seen = set()
    for _ in range(25):
        page.press("Tab")
        seen.add(page.run("document.activeElement.tagName"))
    assert {"A", "INPUT", "SELECT", "BUTTON"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_by_axe_in_both_schemes(page: Page, scheme: str) -> None:
    page.scheme(scheme)
    drawn(page)
    page.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    axe = importlib.metadata.distribution("axe-core-python").locate_file("axe_core_python/axe.min.js")
    page.run(f"{Path(str(axe)).read_text(encoding='utf-8')}; 0")
    told = "(one) => [one.id, one.help, one.nodes.map((node) => node.html.slice(0, 200))]"
    violations = page.run(f"axe.run(document).then((found) => found.violations.map({told}))")
    assert violations == []


def test_figures_have_their_data(page: Page) -> None:
    drawn(page)
    page.run("document.querySelector('figure details').open = true")
    page.wait("document.querySelectorAll('figure details')[0].querySelector('table') !== null")
    cells = "(row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent)"
    rows = page.run(f"[...document.querySelector('figure details table').rows].map({cells})")
    assert rows == [["method", "accuracy"], ["greedy", "32.5"], ["self_consistency", "50"], ["grace", "75"]]
    colors = "getComputedStyle(document.querySelector('figure .plot svg text')).fill"
    light = page.run(colors)
    page.scheme("dark")
    page.wait(f"{colors} !== '{light}'")


def test_a_phone_shows_one_data_set_and_nothing_is_wider_than_it(browser, report: Path) -> None:
    page = browser()
    page.size(390, 844, phone=True)
    page.open(report)
    drawn(page)
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert len(texts(page, "article[data-table=grace_table1_2] thead th")) == 2
    assert page.run("document.querySelector('.sides').getBoundingClientRect().width") <= 390
    assert page.faults == page.requests == []
