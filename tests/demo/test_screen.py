"""What a screen writes where."""

import io

import pytest

from onlogit.demo.screen import WIPE, Screen


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_nothing_but_text_where_there_is_no_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    screen.show("busy")
    screen.say(screen.paint("done", "bold"), screen.paint_marks("●"))
    screen.wipe()
    assert out.getvalue() == "done\n●\n"
    assert err.getvalue() == ""


def test_the_changing_line_goes_away() -> None:
    out, err = Terminal(), Terminal()
    screen = Screen(out, err)
    screen.show("1")
    screen.show("2")
    screen.say("done")
    screen.wipe()
    assert out.getvalue() == "done\n"
    assert err.getvalue() == f"{WIPE}1{WIPE}2{WIPE}"


def test_colour_on_a_terminal_only_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Screen(Terminal()).paint("x", "bold") == "\x1b[1mx\x1b[0m"
    assert Screen(Terminal(), colour=False).paint("x", "bold") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(Terminal()).paint("x", "bold") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Screen(Terminal()).paint("x", "bold") == "x"
