"""The report: well-formed, self-contained, the same for the same run, and there also when a run has little to show."""

import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from node.experiments.drawing import PALETTE
from node.experiments.figures import PANELS_MAX, chain_colours
from node.experiments.invariants import MEANINGS
from node.experiments.latency_figure import latency
from node.experiments.report import market_of, render_report
from node.experiments.report_tables import MESSAGE_PARTS, clock, kwh, pence, price, span, summary_tables
from node.experiments.tables import Tables
from node.experiments.tangle_picture import (
    BENDS,
    BLOCKS_MAX,
    BLOCKS_WANTED,
    CLEARANCE,
    _curves,
    choose_anchor,
    tangle_picture,
)
from node.experiments.walk import choose_walk
from node.wire import HostMessage
from tests.harness.example_run import BUY, SELL, example_manifest, example_summary, example_tables

ROOT = Path(__file__).parents[3]
VOID = {"meta", "br", "hr", "link", "img", "input"}
SIZES_SMALL = {"chains": 2, "homes": 3, "intervals": 3}


class Page(HTMLParser):
    """What a page is made of; unclosed and misplaced tags are ``faults``."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attributes)))
        self.ids.update(value for name, value in attributes if name == "id" and value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@cache
def example() -> tuple[Tables, dict[str, Any]]:
    tables = example_tables()
    return tables, example_summary(tables)


@cache
def example_page() -> str:
    return render_report(*example(), example_manifest())


@cache
def parsed() -> Page:
    return Page(example_page())


def page_of(tables: Tables) -> Page:
    return Page(render_report(tables, example_summary(tables), example_manifest()))


# ------------------------------------------------------------------------------------------------------------ the page


def test_the_page_is_well_formed_and_its_ids_are_unique():
    assert parsed().faults == []
    assert [id for id, times in parsed().ids.items() if times > 1] == []


def test_every_reference_inside_the_page_has_its_target():
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', example_page()))
    assert references
    assert references <= set(parsed().ids)


def test_the_page_loads_nothing_and_runs_nothing():
    assert not re.search(r"https?:|//|@import|url\((?!#)|data:", example_page())
    assert parsed().tags.keys() & {"script", "link", "img", "iframe", "object", "embed"} == set()
    names = {name for _, attributes in parsed().attributes for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "src"]


def test_equal_runs_have_equal_pages():
    tables = example_tables(**SIZES_SMALL)
    again = example_tables(**SIZES_SMALL)
    first = render_report(tables, example_summary(tables), example_manifest())
    assert render_report(again, example_summary(again), example_manifest()) == first


def test_another_run_has_another_page():
    tables, other = (example_tables(**SIZES_SMALL, seed=seed) for seed in (1, 2))
    assert choose_walk(tables) != choose_walk(other)
    assert tangle_picture(tables, {}).svg != tangle_picture(other, {}).svg


def test_the_page_of_a_day_is_small():
    assert len(example_page()) < 500_000


def test_all_colours_follow_the_scheme_of_the_reader():
    svg = "".join(re.findall(r"<svg.*?</svg>", example_page(), re.DOTALL))
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?!-)", svg)) == set()
    assert set(re.findall(r"var\(--(\w+)\)", example_page())) <= PALETTE.keys() | {"dot"}


def test_no_two_colours_have_the_same_light_value():
    assert len({value for value, _ in PALETTE.values()}) == len(PALETTE)


def test_a_figure_says_in_words_what_it_shows():
    figures = [attributes for tag, attributes in parsed().attributes if tag == "svg"]
    assert len(figures) == 5
    assert all(figure["role"] == "img" and len(figure["aria-label"] or "") > 40 for figure in figures)
    assert parsed().tags["figcaption"] == parsed().tags["figure"] == 6


def test_every_table_has_headers():
    assert parsed().tags["table"] == parsed().tags["thead"] > 8
    assert all("scope" in attributes for tag, attributes in parsed().attributes if tag == "th")


def test_the_units_stand_beside_the_numbers():
    for unit in ("kWh", "p/kWh", "p50", "MB", "after imbalances, p"):
        assert unit in parsed().text


def test_what_a_name_holds_is_text_and_never_markup():
    tables = example_tables(**SIZES_SMALL)
    summary = example_summary(tables) | {"violations": ["<script>alert(1)</script> & more"], "warnings": ["<b>"]}
    page = Page(render_report(tables, summary, example_manifest()))
    assert page.faults == []
    assert page.tags["script"] == 0
    assert "<script>alert(1)</script> & more" in page.text


def test_broken_invariants_stand_at_the_top_and_none_is_said_too():
    tables = example_tables(**SIZES_SMALL)
    broken = Page(
        render_report(tables, example_summary(tables) | {"violations": ["supply", "agreement"]}, example_manifest())
    )
    assert "2 invariants were broken. Do not trust these results." in broken.text
    assert broken.text.index("agreement") < broken.text.index("Energy of all homes")
    assert "No invariant was broken." in parsed().text
    assert "No invariant was broken." not in broken.text


# ----------------------------------------------------------------------------------------------------- little to show


def test_a_run_in_which_nothing_happened_still_has_a_report():
    page = page_of(Tables())
    assert page.faults == []
    for sentence in (
        "nothing was traded",
        "no interval was settled",
        "nothing was matched, so there is no price",
        "no order was executed",
        "no anchor was confirmed",
        "Nothing was traded, so there is no trade to follow.",
    ):
        assert sentence in page.text


def test_a_report_needs_no_key_of_the_summary():
    assert Page(render_report(Tables(), {}, example_manifest())).faults == []
    assert Page(render_report(example_tables(**SIZES_SMALL), {}, example_manifest())).faults == []


@pytest.mark.parametrize(
    "sizes",
    [
        {"chains": 1, "homes": 2, "intervals": 1, "parent": False},
        {"chains": 1, "homes": 5, "intervals": 24, "parent": False},
        {"chains": 2, "homes": 2, "intervals": 1},
    ],
    ids=["one chain, one interval", "one chain without a parent", "one interval"],
)
def test_a_small_run_has_a_report(sizes):
    assert page_of(example_tables(**sizes)).faults == []


def test_a_run_in_which_nobody_found_a_partner_has_a_report():
    tables = example_tables(**SIZES_SMALL)
    tables.trades.rows = [(*row[:4], "grid", row[5], BUY) for row in tables.trades.rows]
    tables.clearings.rows = [(*row[:3], None, *row[4:6], 0, row[7]) for row in tables.clearings.rows]
    tables.rounds.rows = [(*row[:4], None, *row[5:]) for row in tables.rounds.rows]
    assert page_of(tables).faults == []


def test_stages_that_were_never_reached_are_left_out():
    tables = example_tables(**SIZES_SMALL)
    tables.requests.rows = [(*row[:6], None, row[7], None, None, row[10]) for row in tables.requests.rows]
    tables.blocks.rows = [(*row[:7], None, None) for row in tables.blocks.rows]
    page = page_of(tables)
    assert page.faults == []
    assert "decided by the committee, median" in page.text
    assert "confirmed by layer 1, median" not in page.text
    assert "no anchor was confirmed" in page.text


def test_homes_without_a_reading_have_no_net_energy():
    tables = example_tables(**SIZES_SMALL)
    tables.settlements.rows = [(*row[:8], None, None, None, None) for row in tables.settlements.rows]
    assert page_of(tables).faults == []


def test_more_chains_than_fit_are_counted():
    page = page_of(example_tables(chains=PANELS_MAX + 2, homes=2, intervals=2))
    assert page.faults == []
    assert f"Only the first {PANELS_MAX} of {PANELS_MAX + 2} chains are shown." in page.text


# ----------------------------------------------------------------------------------------------------------- its parts


def test_the_anchor_of_the_picture_has_about_the_wanted_number_of_blocks():
    tables, _ = example()
    anchor = choose_anchor(tables)
    assert anchor is not None
    start, end = anchor.window
    inside = sum(start <= issued <= end for issued in tables.blocks.column("issued_us"))
    assert 10 <= inside <= 2 * BLOCKS_WANTED <= BLOCKS_MAX
    assert start < anchor.issued < anchor.accepted < anchor.confirmed < end


def test_a_crowded_picture_is_cut():
    tables = Tables()
    for number in range(3 * BLOCKS_MAX):
        parent = f"{number - 1:04}" if number else ""
        payload = "anchor" if number == 1 else ""
        tables.blocks.add(f"{number:04}", f"node{number % 20}", number * 1000, payload, parent, "", 1, 400_000, 500_000)
    tables.chain_blocks.add("mg1", 7, 7, 0, 0, 0, 0, 1, 0, "anchor", "confirmed")
    picture = tangle_picture(tables, {})
    assert f"A graph of {BLOCKS_MAX} blocks by 20 issuers" in picture.alternative
    assert f"of which {BLOCKS_MAX - 2} approve" in picture.alternative
    assert "state 7 of mg1" in picture.caption


def test_a_block_beside_the_anchor_does_not_approve_it():
    tables = Tables()
    rows = [("a", 0, "", ""), ("b", 10, "a", "tx"), ("c", 20, "a", ""), ("d", 30, "b", ""), ("e", 40, "c d", "")]
    for name, issued, parents, payload in rows:
        tables.blocks.add(name, "node1", issued, payload, parents, "", 1, 40, 50)
    tables.blocks.add("f", "node2", 45, "", "c", "b", 1, 60, 70)
    tables.chain_blocks.add("mg1", 1, 1, 0, 0, 0, 0, 1, 0, "tx", "confirmed")
    assert "6 blocks by 2 issuers, of which 3 approve" in tangle_picture(tables, {}).alternative


def test_the_walk_shows_a_trade_by_all_routes_in_order_of_time():
    tables, _ = example()
    walk = choose_walk(tables)
    assert [step[0] for step in walk] == sorted(step[0] for step in walk)
    final = next(what for _, _, what, _ in walk if "the interval is final" in what)
    for route in ("within the microgrid", "between microgrids at level 1", "with the main grid"):
        assert route in final


def test_the_walk_goes_up_to_the_parent_chain_and_back():
    tables, _ = example()
    stations = [(host, source) for _, host, _, source in choose_walk(tables)]
    chain = next(host for host, source in stations if source == "market/clearing.py")
    home = stations[0][0]
    assert [station for station in stations if station[1].startswith("market/") or "crosschain" in station[1]] == [
        (home, "market/prosumer.py"),
        (chain, "market/clearing.py"),
        ("community", "wasp/crosschain.py"),
        ("community", "market/parent.py"),
        (chain, "market/hierarchy.py"),
        (chain, "market/settlement.py"),
        (home, "market/meter.py"),
        (chain, "market/settlement.py"),
    ]


def test_the_walk_names_files_that_are_there():
    tables, _ = example()
    assert [source for *_, source in choose_walk(tables) if not (ROOT / source).is_file()] == []


def test_a_walk_that_is_given_is_shown_as_it_is():
    tables = example_tables(**SIZES_SMALL)
    walk = [(3_723_004_000, "home1", "thinks <twice>", "market/meter.py"), (3_784_004_000, "mg1", "waits", "a.py")]
    page = Page(render_report(tables, example_summary(tables), example_manifest(), walk))
    assert "01:02:03.004 home1 thinks <twice> market/meter.py 01:03:04.004 + 1 min 1 s mg1 waits a.py" in page.text


def test_chains_keep_their_order_of_name_and_level_whatever_confirmed_first():
    tables = Tables()
    for chain, level in (("region", 1), ("mg10", 0), ("mg2", 0)):
        tables.clearings.add(chain, level, 0, None, 0, 0, 0, 0)
    colours = chain_colours(tables)
    assert [colours.name_of(chain) for chain in ("mg2", "mg10", "region")] == ["chain1", "chain2", "parent1"]


def test_the_market_comes_from_the_resolved_configuration():
    market = market_of(example_manifest())
    assert (market.tariff.buy_price, market.tariff.sell_price, market.hours) == (BUY, SELL, 1.0)


def test_numbers_for_people():
    assert [kwh(1_234_567), kwh(5, 1), pence(1_234_567_890), price(18_900)] == [
        "1,234.567",
        "0.0",
        "1,234.57",
        "18.900",
    ]
    assert [span(253_040), span(3_950_000), span(None), clock(90_061_002_000)] == [
        "253.0 ms",
        "3.95 s",
        "–",
        "25:01:01.002",
    ]
    assert pence([1_000_000, 2_000_000]) == "1.00; 2.00"


def test_the_energy_table_compares_with_demand_and_generation():
    tables, summary = example()
    energy = {"demand": 2000, "generation": 1000, "local": 500, "grid_sold": 250}
    listing = summary_tables(tables, summary | {"energy_wh": energy}, market_of(example_manifest()))["energy"]
    assert list(listing.rows) == [
        ("demand of the homes, gross", "2.000", "100.0 %", ""),
        ("generation of the homes, gross", "1.000", "", "100.0 %"),
        ("traded within a microgrid", "0.500", "25.0 %", "50.0 %"),
        ("sold to the main grid", "0.250", "", "25.0 %"),
    ]


@pytest.mark.parametrize("unsettled", [2, [{"interval": 3}, {"interval": 4}], {"mg1": 1, "mg2": 2}])
def test_what_is_unsettled_is_counted_however_it_is_told(unsettled):
    tables, summary = example()
    listing = summary_tables(tables, summary | {"unsettled": unsettled}, market_of(example_manifest()))["settled"]
    assert ("unsettled at the end", "2") in listing.rows


# --------------------------------------------------------------------------------------------- the clock, and what was done


def test_figures_have_the_clock_of_the_run():
    market = market_of({**example_manifest(), "first_delivery_us": 90 * 60 * 10**6, "interval_us": 30 * 60 * 10**6})
    assert [market.starts(0), market.starts(3), market.middle(1)] == [1.5, 3.0, 2.25]
    assert parsed().text.count("hours of the run; bars stand at delivery") == 2
    assert parsed().text.count("hours of the run; marks stand at delivery") == 1


def test_injected_faults_stand_at_the_top_and_in_the_figures_of_the_day():
    tables = example_tables(chains=2, homes=3, intervals=12)
    faults = [[7_200_000_000, "crash of home1"], [7_500_000_000, "restart of home1"]]
    page = Page(render_report(tables, example_summary(tables) | {"faults": faults}, example_manifest()))
    assert page.faults == []
    assert "2 faults were injected , by the run's clock 02:00:00.000 crash of home1 02:05:00.000" in page.text
    assert page.text.index("crash of home1") < page.text.index("Energy of all homes")
    assert page.text.count("fault injected") == 3
    assert "injected" not in parsed().text


def test_the_caption_of_the_tangle_says_how_much_weight_confirms():
    assert "Accepted (by 45 % of the validators' weight) after" in parsed().text
    assert "confirmed (by 67 % of the validators' weight) after" in parsed().text


def test_the_legend_of_the_tangle_names_only_what_is_drawn():
    tables = Tables()
    for name, issued, parents, payload in (("a", 0, "", "tx"), ("b", 10, "a", ""), ("c", 20, "b", "")):
        tables.blocks.add(name, "node1", issued, payload, parents, "", 1, 40, 50)
    tables.chain_blocks.add("mg1", 1, 1, 0, 0, 0, 0, 1, 0, "tx", "confirmed")
    svg = tangle_picture(tables, {}).svg
    assert [text in svg for text in ("strong parent", "bold:", "approves it", "s block")] == [True] * 4
    absent = ("weak parent", "after accepted", "after confirmed", "square: with", "does not approve")
    assert [text for text in absent if text in svg] == []


def test_an_edge_goes_around_a_block_that_it_would_run_through():
    places = {"a": (0.0, 0.0), "b": (1.0, 0.0), "c": (2.0, 0.0)}
    scale = (1.0, 0.55)
    straight = _curves([("c", "b")], places, scale).vertices.tolist()
    assert straight == [[2.0, 0.0], [1.5, 0.0], [1.0, 0.0]]
    around = _curves([("c", "a")], places, scale).vertices.tolist()
    bend = around[1][1]
    assert bend / 2 * 0.55 > CLEARANCE > abs(BENDS[BENDS.index(bend) - 1]) / 2 * 0.55


def test_the_plateaus_of_latency_are_explained_where_orders_were_replaced():
    tables, summary = example()
    manifest = example_manifest()
    manifest["configuration"]["consensus"] = {"gather_delay": "100ms", "batch_delay": "500ms"}
    text = Page(render_report(tables, summary, manifest)).text
    assert "wait 100ms (gather_delay)" in text and "until 500ms (batch_delay)" in text
    assert "gather_delay" not in latency(example_tables(**SIZES_SMALL)).caption


def test_every_invariant_is_explained():
    tables = example_tables(**SIZES_SMALL)
    summary = example_summary(tables) | {"invariants": dict.fromkeys(MEANINGS, 7)}
    text = Page(render_report(tables, summary, example_manifest())).text
    assert [name for name, meaning in MEANINGS.items() if f"{name} 7 {meaning}" not in text] == []


def test_every_kind_of_message_belongs_to_a_part_of_the_protocol():
    kinds = [kind for _, of in MESSAGE_PARTS for kind in of]
    assert sorted(kinds) == sorted(kind.__name__ for kind in get_args(HostMessage))
    assert (
        "broadcast of proposals and of nonces: Echo, Ready; binary agreement on each proposal: BVal." in parsed().text
    )


def test_quotes_are_said_to_be_no_limits():
    assert "a quote, not a limit" in parsed().text
