from __future__ import annotations

import pytest

from voxwire.tools.docstrings import Docstring, parse_docstring

GOOGLE = """Book a table.

    Only for tonight.

    Args:
        name: Who it is for,
            as it should be written down.
        guests (int): How many: at most twelve.
        **extra: ignored

            A second paragraph.

    Returns:
        confirmation: a number
    """

NUMPY = """
    Book a table.

    Only for tonight.

    Parameters
    ----------
    name : str
        Who it is for,
        as it should be written down.
    guests, children : int, optional
        How many.

    Returns
    -------
    confirmation : str
        A number.
    """

SPHINX = """Book a table.

    Only for tonight.

    :param name: Who it is for,
        as it should be written down.
    :param int guests: How many.
    :type name: str
    :returns: a number
    :raises ValueError: never
    """


def test_google() -> None:
    found = parse_docstring(GOOGLE)
    assert found.description == "Book a table.\n\nOnly for tonight."
    assert found.arguments == {
        "name": "Who it is for, as it should be written down.",
        "guests": "How many: at most twelve.",
        "extra": "ignored A second paragraph.",
    }


def test_numpy() -> None:
    found = parse_docstring(NUMPY)
    assert found.description == "Book a table.\n\nOnly for tonight."
    assert found.arguments == {
        "name": "Who it is for, as it should be written down.",
        "guests": "How many.",
        "children": "How many.",
    }


def test_sphinx() -> None:
    found = parse_docstring(SPHINX)
    assert found.description == "Book a table.\n\nOnly for tonight."
    assert found.arguments == {
        "name": "Who it is for, as it should be written down.",
        "guests": "How many.",
    }


@pytest.mark.parametrize("text", [None, "", "  \n "])
def test_nothing(text: str | None) -> None:
    assert parse_docstring(text) == Docstring()


def test_prose_with_a_colon_is_no_section() -> None:
    text = "Note the order:\n    first this: then that\n\nArgs of the call are logged: yes"
    assert parse_docstring(text) == Docstring(text, {})


def test_text_back_at_the_margin_ends_a_google_section() -> None:
    found = parse_docstring("Do it.\n\nArgs:\n    one: the first\n\nstray: no argument")
    assert found.arguments == {"one": "the first"}


def test_a_line_that_is_no_entry_is_passed_over() -> None:
    found = parse_docstring("\nArgs:\n    - a list item\n    one: the first\n\nReturns:\n    x")
    assert found.description == ""
    assert found.arguments == {"one": "the first"}
