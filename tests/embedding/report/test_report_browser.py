"""The page in a browser: it asks for nothing, complains of nothing, and does what its buttons say."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Page, browser

from prima_features.embedding.report import write_report

CELLS = "[...document.querySelectorAll('{} tbody tr')].map(row => row.cells[{}].textContent)"
NUMBERS = "Number(document.querySelector('{} .count').textContent.replace(/,/g, '').match(/of (\\d+)/)[1])"
STRONG = """(() => {
  const canvas = document.querySelector('canvas'), box = canvas.getBoundingClientRect();
  const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const places = [];
  for (let i = 0; i < data.length / 4; i++) if (data[4 * i + 3] > 190) places.push([i % width, Math.floor(i / width)]);
  const mean = (axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length;
  return [box.left + mean(0), box.top + mean(1)];
})()"""
"""Where in the window the map's opaque points are."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def cells(page: Page, table: str, column: int) -> list[str]:
    return page.run(CELLS.format(f'[data-table="{table}"]', column))


def count(page: Page, place: str) -> int:
    return page.run(NUMBERS.format(place))


def head(table: str, column: int) -> str:
    return f'[data-table="{table}"] th:nth-child({column}) button'


def assert_quiet(page: Page, path: Path) -> None:
    """Nothing was asked for but the page and its own pictures, and no script or policy complained."""
    assert page.run("document.documentElement.dataset.ready") == "yes"
    assert not page.complaints
    outside = [url for url in page.requests if not url.startswith("data:image/jpeg;base64,")]
    assert outside == [path.as_uri()]


def test_the_driver_hears_of_errors_and_of_requests(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.html"
    wrong.write_text("<!DOCTYPE html><img src='http://127.0.0.1:9/x.png'><script>nothing.here</script>")
    page.open(wrong)
    assert any("nothing is not defined" in text for text in page.complaints)
    assert "http://127.0.0.1:9/x.png" in page.requests


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (400, False)])
def test_the_page_opens_offline_and_fits_the_window(
    page: Page, make: Callable[..., Path], width: int, dark: bool
) -> None:
    output = make()
    path = write_report(output, [output.with_name("out.h5.parts")])
    page.open(path, width, dark=dark)
    assert_quiet(page, path)
    assert page.run("document.documentElement.scrollWidth") <= width
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") != dark
    shown = page.run("[...document.querySelectorAll('h2')].map(one => one.textContent)")
    assert shown[:5] == ["Counts", "Left out", "Time", "Pictures", "Map"]
    assert shown[5:] == ["Near-duplicates", "Outliers", "Studies", "Series", "How it was made"]
    assert "\\xa0" not in page.run("document.body.innerText")  # no text of the page's own is escaped


def test_sizes_and_spacings_stay_on_one_line(page: Page, make: Callable[..., Path]) -> None:
    page.open(write_report(make(with_parts=False)), width=400)
    lines = page.run("""[...document.querySelectorAll('[data-table="series"] td.size')].map(cell => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getClientRects().length;
    })""")
    assert set(lines) == {1}


def test_tables_sort_filter_and_turn_pages(page: Page, make: Callable[..., Path]) -> None:
    path = write_report(make(with_parts=False))
    page.open(path)
    studies = '[data-table="studies"]'
    assert count(page, studies) == 58
    assert len(cells(page, "studies", 0)) == 25
    page.click(head("studies", 4))  # tokens, the most first
    most = [int(text.replace(",", "")) for text in cells(page, "studies", 3)]
    assert most == sorted(most, reverse=True)
    page.click(head("studies", 4))
    least = [int(text.replace(",", "")) for text in cells(page, "studies", 3)]
    assert least == sorted(least) and least[0] < most[-1]
    page.click(head("studies", 1))
    page.click(f"{studies} .pages button:last-child")
    assert cells(page, "studies", 0)[0] == "sub-0026"  # one of the first 26 failed
    page.type(f"{studies} input", "head 001")
    found = cells(page, "studies", 0)
    assert found == ["sub-0012", "sub-0015", "sub-0018"]
    assert count(page, studies) == 3
    page.type(f"{studies} input", "no such study")
    assert "Nothing matches." in page.run(f"document.querySelector('{studies} tbody').textContent")
    assert_quiet(page, path)


def test_a_reason_leads_to_its_failures_and_a_study_to_what_is_known_of_it(
    page: Page, make: Callable[..., Path]
) -> None:
    output = make()
    path = write_report(output, [output.with_name("out.h5.parts")])
    page.open(path)
    assert count(page, '[data-table="left-out"]') == 5
    page.click(".reasons tr:nth-child(2) button")
    assert cells(page, "left-out", 0) == ["sub-0005", "sub-0055"]
    page.click('[data-table="left-out"] tbody button')
    assert page.run("document.getElementById('study').open")
    told = page.run("document.getElementById('study').textContent")
    assert "5% of its voxels are NaN or infinite (replace them)" in told
    assert page.run("document.querySelectorAll('#study svg image').length") == 3
    assert page.run("document.querySelector('#study svg path').getAttribute('d')").startswith("M")
    page.click("#study .top button")
    assert not page.run("document.getElementById('study').open")
    assert_quiet(page, path)


def test_the_gallery_shows_pictures_of_what_is_asked_for(page: Page, make: Callable[..., Path]) -> None:
    output = make()
    path = write_report(output, [output.with_name("out.h5.parts")])
    page.open(path)
    assert count(page, "#gallery") == 58
    widths = "Promise.all([...document.querySelectorAll('#gallery image')].map(one => new Promise(done => {"
    widths += (
        " const image = new Image(); image.onload = () => done(image.width); image.onerror = () => done(0);"
    )
    widths += " image.src = one.getAttribute('href'); })))"
    assert set(page.run(widths)) == {180}
    page.run("(() => { const only = document.querySelector('#gallery select'); only.value = 'near-duplicate';"
             " only.dispatchEvent(new Event('change')); })()")  # fmt: skip
    titles = page.run("[...document.querySelectorAll('.card h3')].map(one => one.textContent)")
    assert titles == ["sub-0007near-duplicate", "sub-0008near-duplicate"]
    line = "getComputedStyle(document.querySelector('.card path')).display"
    assert page.run(line) != "none"
    page.click("#outlines")
    assert page.run(line) == "none"


def test_the_map_names_the_study_under_the_pointer(page: Page, make: Callable[..., Path]) -> None:
    path = write_report(make(with_parts=False))
    page.open(path)
    page.run("document.getElementById('scatter').scrollIntoView()")
    page.type("#scatter input", "sub-0021")  # which leaves the others pale
    x, y = page.run(STRONG)
    assert x > 0
    page.move(x, y)
    assert not page.run("document.getElementById('tip').hidden")
    assert page.run("document.getElementById('tip').textContent").startswith(
        "sub-0021MRI HEAD W/O CONTRAST3 series"
    )
    page.move(2, y)
    assert page.run("document.getElementById('tip').hidden")
    page.click_at(x, y)
    assert page.run("document.getElementById('study-title').textContent") == "sub-0021"
    assert_quiet(page, path)


def test_a_few_studies_are_all_inside_the_frame_of_the_map(page: Page, make: Callable[..., Path]) -> None:
    page.open(write_report(make(4, with_parts=False)))
    assert page.run("document.querySelectorAll('#scatter canvas').length") == 1
    assert "outside of the frame" not in page.run("document.querySelector('main').textContent")


def test_what_a_scanner_wrote_is_text_and_never_markup(page: Page, make: Callable[..., Path]) -> None:
    path = write_report(make(with_parts=False))
    page.open(path)
    assert cells(page, "studies", 1)[0] == "</script><img src=x onerror=alert(1)>"
    assert page.run("document.querySelectorAll('img').length") == 0
    assert_quiet(page, path)


def test_five_thousand_studies_are_usable(page: Page, make: Callable[..., Path]) -> None:
    path = write_report(make(5000, with_parts=False, width=8))
    page.open(path)
    assert_quiet(page, path)
    assert count(page, '[data-table="studies"]') == 4900
    assert count(page, '[data-table="series"]') > 15000
    assert (
        page.run("document.querySelectorAll('*').length") < 4000
    )  # only the rows that are shown are elements
    page.type('[data-table="series"] input', "sub-4999")
    assert set(cells(page, "series", 0)) == {"sub-4999"}
    page.type('[data-table="series"] input', "")
    spent = page.run(
        "(() => { const began = performance.now();"
        f" document.querySelector('{head('series', 5)}').click(); return performance.now() - began; }})()"
    )
    tokens = [int(text) for text in cells(page, "series", 4)]
    assert tokens == sorted(tokens, reverse=True)
    assert spent < 5000  # ms; some 50 where nothing else runs
