"""The reports about runs: text from outside is printed as it is, not as markup."""

import io

import pytest
from rich.console import Console

from spade_spark.reporting.runs import _candidates, print_candidates

URL = "s3://bucket/[bold]x[/bold]/"


def printed(show):
    output = io.StringIO()
    show(Console(file=output, width=100))
    return output.getvalue()


@pytest.mark.parametrize(
    "show",
    [
        lambda console: print_candidates(URL, (), (), console),
        lambda console: console.print(_candidates(URL, [])),
    ],
    ids=["nothing to remove", "title"],
)
def test_a_url_with_square_brackets_is_printed_as_it_is(show):
    assert URL in printed(show)
