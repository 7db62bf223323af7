"""
``make bench``: the running server beside its peers, as ratios.

Every figure is taken from outside, over loopback, from a separate process; fe-mail and its peer
take turns. Sections run alone when they are named: ``make bench ARGS="delivering mixed"``;
``--small`` is quick and rough.
"""

import argparse

from bench.backlog import backlog
from bench.mixed import mixed
from bench.reading import connections, fetching, retrieving, starting
from bench.receiving import accepting, delivering, two_processes
from bench.report import Report
from bench.stage import Stage

SECTIONS = {
    "starting": starting,
    "connections": connections,
    "accepting": accepting,
    "two-processes": two_processes,
    "delivering": delivering,
    "backlog": backlog,
    "mixed": mixed,
    "fetching": fetching,
    "retrieving": retrieving,
}


def main() -> None:
    """The chosen sections, each with servers of its own."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--small", action="store_true", help="1,000 messages instead of 10,000")
    parser.add_argument("--count", type=int, help="so many messages")
    parser.add_argument("--rounds", type=int, default=3, help="of fe-mail and peer (3)")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section is called {', '.join(sorted(unknown))}")
    count = options.count or (1_000 if options.small else 10_000)
    stage = Stage(Report(options.rounds), count)
    print(Report.head())
    for name in options.sections or SECTIONS:
        SECTIONS[name](stage)


if __name__ == "__main__":
    main()
