"""Words for people: whole in both languages, and chosen as the browser says."""

from __future__ import annotations

import re
import string

import pytest

from safehold.model.kinds import RESTORE_ORDER
from safehold.service.notices import KNOWN
from safehold.web.words import LANGUAGES, Words, chosen, has, keys

_FIELDS = string.Formatter()


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in _FIELDS.parse(text) if name is not None}


@pytest.mark.parametrize("key", keys())
def test_both_languages_say_it_with_the_same_values(key: str) -> None:
    english, spanish = keys()[key]
    assert english.strip() and spanish.strip()
    assert fields(english) == fields(spanish)
    assert english.endswith((".", ":", ",")) == spanish.endswith((".", ":", ","))


@pytest.mark.parametrize("key", [key for key in keys() if key.endswith(".one")])
def test_a_form_for_one_belongs_to_one_for_many_and_takes_no_other_values(key: str) -> None:
    many = keys()[key.removesuffix(".one")]
    assert all(fields(text) <= fields(many[0]) | {"count"} for text in keys()[key])


def test_few_words_are_the_same_in_both_languages() -> None:
    """One that was copied and not translated would be."""
    same = {key for key, (english, spanish) in keys().items() if english == spanish}
    assert same == set()


def test_there_are_words_for_every_kind_and_notice() -> None:
    for kind in RESTORE_ORDER:
        assert has(f"kind.{kind.value}")
    for what in KNOWN:
        assert has(f"notice.{what}")


@pytest.mark.parametrize(
    ("asked", "accept", "lang"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "es", "es"),
        (None, "es-ES,es;q=0.9,en;q=0.8", "es"),
        (None, "en-GB,en;q=0.9,es;q=0.8", "en"),
        (None, "de,fr;q=0.9,es;q=0.2", "es"),
        (None, "es;q=0", "en"),
        (None, "es;q=x", "en"),
        (None, "ES-mx", "es"),
        (None, "," * 10_000 + "es", "en"),
        ("es", "en", "es"),
        ("en", "es", "en"),
        ("xx", "es", "es"),
        ("../es", None, "en"),
    ],
)
def test_the_language_is_the_visitors(asked: str | None, accept: str | None, lang: str) -> None:
    assert chosen(asked, accept).lang == lang


def test_numbers_and_times_are_for_people() -> None:
    en, es = Words("en"), Words("es")
    assert en.number(1234567) == "1\u202f234\u202f567"
    assert en.number(None) == "–"
    assert (en.duration(5400), es.duration(5400)) == ("1.5\u202fh", "1,5\u202fh")
    assert en.duration(86_400 * 104) == "104\u202fd"
    assert en.duration(None) == "–"
    assert en.time(1_795_000_000_000_000) == "2026-11-18 11:06"
    assert es.ago(60) == "hace 1\u202fmin"
    assert en.count("own.intake", 1).startswith("1 change of")
    assert en.count("own.intake", 2000).startswith("2\u202f000 changes")
    assert Words("xx").lang == "en"
    assert {Words(lang).other for lang in LANGUAGES} == set(LANGUAGES)


def test_no_key_of_the_code_lacks_its_words() -> None:
    """Keys that are written out where they are used."""
    import safehold.web as web

    folder = next(iter(web.__path__))
    from pathlib import Path

    used: set[str] = set()
    for path in Path(folder).glob("*.py"):
        used |= set(re.findall(r'\bwords(?:\.count)?\(\s*"([a-z][^"{]*)"', path.read_text()))
    assert used, "the pages use none"
    assert {key for key in used if not has(key)} == set()
