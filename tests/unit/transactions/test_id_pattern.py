"""The pattern of ListTransactions: what it means, and that it costs nobody the loop."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierbroker.transactions.id_pattern import IdPattern
from tierbroker.transactions.id_pattern_syntax import PatternError

MEANINGS = [
    ("", "", "a"),
    ("abc", "abc", "abcd"),
    ("abc", "abc", "xabc"),
    ("a.c", "abc", "a\nc"),
    ("a*", "aaaa", "ab"),
    ("a+", "a", ""),
    ("ab?c", "ac", "abbc"),
    ("a{2}", "aa", "aaa"),
    ("a{2,}", "aaaaa", "a"),
    ("a{0,2}", "", "aaa"),
    ("a{1,2}b", "aab", "aaab"),
    ("a*?b", "aab", "aa"),
    ("(ab|cd)+", "abcdab", "abc"),
    ("(?:ab|)c", "c", "ac"),
    ("[a-c]x", "bx", "dx"),
    ("[^a-c]x", "dx", "bx"),
    ("[]a]+", "]a", "b"),
    ("[a-]+", "a-a", "b"),
    (r"[\d\-_]+", "12-_", "a"),
    (r"\d{3}", "123", "12a"),
    (r"\D\W\S", "a-b", "1aa"),
    (r"\w+\.\w+", "app.1", "app-1"),
    (r"a\tb", "a\tb", "atb"),
    ("^ab$", "ab", "abc"),
    ("(^a|b)c", "ac", "aac"),
    ("a(b$|c)", "ab", "abc"),
    ("ü+", "üü", "u"),
    ("a{b", "a{b", "ab"),
]


@pytest.mark.parametrize(("pattern", "matching", "other"), MEANINGS)
def test_what_a_pattern_means(pattern: str, matching: str, other: str) -> None:
    compiled = IdPattern(pattern)
    assert compiled.matches(matching)
    assert not compiled.matches(other)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "*",
        "+a",
        "a**",
        "a*{2}",
        "a{2,1}",
        "a{1001}",
        "\\",
        r"\1",
        r"\b",
        "[z-a]",
        "[[:alpha:]]",
        "(?i)a",
        "(" * 51 + ")" * 51,
        "(a{1000}){1000}",
        "((a{30}){30}){30}",
    ],
)
def test_what_is_wrong_or_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        IdPattern(pattern)


@given(st.text("ab(|)*+?[^]c.-", max_size=10), st.lists(st.text("abc-.", max_size=6), max_size=8))
def test_it_means_what_others_mean(pattern: str, texts: list[str]) -> None:
    try:
        compiled = IdPattern(pattern)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *_, **__: None)
            expected = re.compile(pattern)
    except (PatternError, re.error):  # `^*` means something to RE2 alone, `a*+` to Python alone
        return
    for text in texts:
        assert compiled.matches(text) == (expected.fullmatch(text) is not None)


def test_a_pattern_that_is_made_to_be_slow_is_not() -> None:
    begun = time.thread_time()
    assert not IdPattern("(a|a)*(a*)*b").matches("a" * 5_000)
    IdPattern("(a?){300}a{300}").matches("a" * 300)
    assert time.thread_time() - begun < 2


def test_a_list_of_ids_is_searched_quickly() -> None:
    pattern = IdPattern("app-[0-9]+-(blue|green)")
    names = [f"app-{number}-{'blue' if number % 2 else 'red'}" for number in range(10_000)]
    begun = time.thread_time()
    assert sum(map(pattern.matches, names)) == 5_000
    assert time.thread_time() - begun < 0.5
