import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from prima_features.page.plots.canvas import COLOURS, MANY_POINTS, shortened, svg, width
from prima_features.page.plots.curves import reliability_bins
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.page.plots.points import draw_cloud, limits_of
from prima_features.probes.evaluation import Estimate


def scatter(n: int) -> str:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, n))
    return svg("cloud", "A cloud.", lambda figure: draw_cloud(figure.add_subplot(), x, y, COLOURS[0]))


def test_letters_that_the_measuring_font_lacks_stay_text() -> None:
    rows = [ForestRow("Site"), ForestRow("北京大学第一医院", Estimate(0.8, 0.7, 0.9), 12)]

    def paint(figure: object) -> None:
        draw_forest(figure, rows, Estimate(0.7, 0.6, 0.8), "AUROC", 3, 0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = ElementTree.fromstring(svg("sites", "Sites.", paint, forest_size(rows)))
    texts = ["".join(element.itertext()).strip() for element in root.iter("text")]
    assert {"Site", "北京大学第一医院", "12", "0.800 (0.700 to 0.900)"} <= set(texts)


def test_chance_is_drawn_where_it_leaves_room_for_the_rows() -> None:
    near = [ForestRow("a", Estimate(0.7, 0.6, 0.8), 30)]
    far = [ForestRow("a", Estimate(0.95, 0.94, 0.96), 3000)]
    assert chance_in_reach(near, Estimate(0.7, 0.65, 0.75), 0.5) == 0.5
    assert chance_in_reach(far, Estimate(0.95, 0.945, 0.955), 0.5) is None


def test_a_dollar_sign_in_a_name_is_no_formula() -> None:
    picture = svg("title", "A title.", lambda figure: figure.add_subplot().set_title("$\\frac{1$"))
    assert "$\\frac{1$" in picture


def test_a_figure_has_an_alternative_text_and_ids_of_its_own() -> None:
    root = ElementTree.fromstring(scatter(20))
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", "A cloud.")
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert all(name.startswith("cloud-") for name in ids)
    assert not {"metadata", "style", "script"} & {element.tag for element in root.iter()}


def test_many_points_are_one_image_and_few_are_shapes() -> None:
    assert "data:image/png;base64," not in scatter(MANY_POINTS)
    many = scatter(20 * MANY_POINTS)
    assert "data:image/png;base64," in many
    assert len(many) < 500_000
    assert many == scatter(20 * MANY_POINTS)


def test_a_users_own_matplotlib_settings_do_not_change_a_figure() -> None:
    import matplotlib

    plain = scatter(20)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert scatter(20) == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_reliability_bins_hold_every_row_and_their_shares() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=400)
    positive = rng.uniform(size=400) < probability
    bins = reliability_bins(positive, probability)
    assert len(bins.predicted) == 10
    assert np.all(np.diff(bins.predicted) > 0)
    assert bins.observed.mean() == pytest.approx(positive.mean(), abs=0.02)
    assert np.all((bins.low <= bins.observed) & (bins.observed <= bins.high))
    assert np.abs(bins.observed - bins.predicted).max() < 0.25


@pytest.mark.parametrize("n", [1, 5, 40])
def test_ties_and_few_rows_make_fewer_bins(n: int) -> None:
    bins = reliability_bins(np.ones(n, dtype=bool), np.full(n, 0.3))
    assert bins.predicted.tolist() == pytest.approx([0.3])
    assert bins.observed.tolist() == [1]


def test_limits_hold_all_finite_numbers() -> None:
    low, high = limits_of(np.array([1.0, np.nan]), np.array([3.0]))
    assert low < 1 < 3 < high
    low, high = limits_of(np.array([2.0, 2.0]))
    assert low < 2 < high


def test_long_names_are_cut_by_the_room_they_take() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("a" * 40, 10) == "a" * 9 + "…"
    assert width(shortened("医" * 40, 10)) <= 10
    assert shortened("two\nlines", 20) == "two\\nlines"


def test_a_name_of_any_length_is_shortened_at_once() -> None:
    assert (
        shortened("A" * 10_000_000, 5) == "AAAA…" and shortened("\u4e2d" * 10_000_000, 5) == "\u4e2d\u4e2d…"
    )
    assert [shortened("a" * n, 5) for n in (4, 5, 6)] == ["aaaa", "aaaaa", "aaaa…"]
    assert shortened("a\x1b\u202e", 20) == "a\\x1b\\u202e" and shortened("ab  cd", 5) == "ab…"
