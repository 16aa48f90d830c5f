#!/usr/bin/env python3
"""Holds a result file of the side-by-side bench against the goals: ratios of the same round, minimum, median and maximum.

usage: ratios.py RESULTS.jsonl... [--peer hikyaku] [--against postfix-tuned] [--check]     --check: exit 1 if a goal is missed

`times` is how often the other's figure fits into ours, for what should be low how often ours fits into the other's; `of the
bare dialogue` is the share of what generator and sink alone do. A goal is met when the median over the rounds meets it.
"""
import argparse
import collections
import json
import statistics
import sys

TIMES, TIMES_LESS, OF_BARE, MILLISECONDS = "times", "times less", "of the bare dialogue", "ms"
# What is read, where; what it is compared with; the goal. The last two are lower bounds but for milliseconds.
GOALS = [
    ("accept rate c10", ("tp", "c10", "accept"), TIMES, 8), ("", ("tp", "c10", "accept"), OF_BARE, 0.45),
    ("accept rate c50", ("tp", "c50", "accept"), TIMES, 8), ("", ("tp", "c50", "accept"), OF_BARE, 0.45),
    ("accept rate c200", ("tp", "c200", "accept"), TIMES, 8), ("", ("tp", "c200", "accept"), OF_BARE, 0.45),
    ("accept rate, one connection a message", ("tp", "c10-1conn1msg", "accept"), TIMES, 5),
    ("end-to-end rate c10", ("tp", "c10", "e2e"), TIMES, 7),
    ("end-to-end rate c50", ("tp", "c50", "e2e"), TIMES, 7),
    ("CPU s per 1000, c10", ("tp", "c10", "cpu_per_1000"), TIMES_LESS, 8),
    ("CPU s per 1000, c50", ("tp", "c50", "cpu_per_1000"), TIMES_LESS, 8),
    ("end-to-end rate, 100 KiB", ("tp", "c10-100K", "e2e"), TIMES, 2),
    ("end-to-end rate, 1 MiB", ("tp", "c10-1M", "e2e"), TIMES, 1.3),
    ("accept rate c1", ("tp", "c1", "accept"), TIMES, 1),
    ("submit p50 under load, ms", ("lat", "load", "sub50"), TIMES_LESS, 1),
    ("submit p99 under load, ms", ("lat", "load", "sub99"), TIMES_LESS, 1),
    ("accept to sink p50 under load, ms", ("lat", "load", "rel50"), TIMES_LESS, 1),
    ("accept to sink p50 when idle, ms", ("lat", "idle", "rel50"), MILLISECONDS, 10),
]


class Results:
    """Figures by peer, place and round; each run, of which a file may hold several, counts its rounds from zero."""

    def __init__(self, paths):
        self.figures, self.bare = collections.defaultdict(dict), {}
        self.failed = self.runs = 0
        for path in paths:
            with open(path) as file:
                for line in file:
                    self.add(json.loads(line))

    def add(self, row):
        self.runs += row["kind"] == "facts"
        when = (self.runs, row.get("round"))
        if row["kind"] == "limits":
            self.bare[when] = row
        elif row["kind"] in ("tp", "lat"):
            if row.get("err"):
                self.failed += 1
                return
            place = (row["peer"], row["kind"], row.get("cell") or row.get("mode"))
            self.figures[place][when] = row

    def pairs(self, peer, other, place):
        """The figure of each of two peers in each round in which both have one."""
        kind, cell, key = place
        ours, theirs = self.figures[(peer, kind, cell)], self.figures[(other, kind, cell)]
        for when in ours:
            mine, other_row = ours[when].get(key), theirs.get(when, {}).get(key)
            if mine is not None and other_row is not None:
                yield mine, other_row

    def values(self, peer, other, place, against):
        kind, cell, key = place
        if against == OF_BARE:
            rows = self.figures[(peer, kind, cell)]
            bare = {when: row.get("bare_" + cell) for when, row in self.bare.items()}
            return [row[key] / bare[when] for when, row in rows.items() if bare.get(when) and row.get(key) is not None]
        pairs = list(self.pairs(peer, other, place))
        if against == MILLISECONDS:
            return [mine for mine, _ in pairs]
        if against == TIMES:
            return [mine / theirs for mine, theirs in pairs if theirs > 0]
        # What was there before it was looked for (accept to sink can be negative) took no time worth telling.
        return [theirs / max(mine, 0.001) for mine, theirs in pairs]

    def median(self, peer, place):
        kind, cell, key = place
        values = [row[key] for row in self.figures[(peer, kind, cell)].values() if row.get(key) is not None]
        return number(statistics.median(values)) if values else "-"


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def shown(value, against):
    return f"{value * 100:.0f} %" if against == OF_BARE else number(value)


def rows(results, peer, other):
    """The table, and how many goals are met and missed."""
    met = missed = 0
    table = [("figure", peer, other, "min", "median", "max", "", "goal", "met")]
    for name, place, against, goal in GOALS:
        values = results.values(peer, other, place, against)
        ours, theirs = (results.median(peer, place), results.median(other, place)) if name else ("", "")
        bound = ("under " if against == MILLISECONDS else "") + shown(goal, against)
        if not values:
            table.append((name, ours, theirs, "-", "-", "-", against, bound, "not measured"))
            continue
        median = statistics.median(values)
        good = median < goal if against == MILLISECONDS else median >= goal
        met, missed = met + good, missed + (not good)
        spread = [shown(value, against) for value in (min(values), median, max(values))]
        table.append((name, ours, theirs, *spread, against, bound, "yes" if good else "NO"))
    return table, met, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+")
    parser.add_argument("--peer", default="hikyaku")
    parser.add_argument("--against", default="postfix-tuned")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    results = Results(given.results)
    table, met, missed = rows(results, given.peer, given.against)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [cell.rjust(width) if 1 <= column <= 5 else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())
    rounds = {when for measured in results.figures.values() for when in measured}
    print(f"\n{met} goals met, {missed} missed; {len(rounds)} rounds"
          + (f"; {results.failed} measurements failed" if results.failed else ""))
    return 1 if given.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
