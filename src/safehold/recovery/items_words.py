"""What a person reads of their own items after a loss, in English and Spanish: all of it, in one place.

As `web/words.py`, which recovery does not know: each entry is a pair, so that neither language lacks one. An entry of a
count has a second form under `KEY.one`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

LANGUAGES = ("en", "es")
_MICROSECONDS = 1_000_000

_WORDS: dict[str, tuple[str, str]] = {
    "title": (
        "What became of your data, {name}\nAs of {time} UTC.",
        "Qué ha sido de tus datos, {name}\nA las {time} UTC.",
    ),
    "keep-devices": (
        "Keep your devices as they are: do not reset them and remove no account from them. What only they still have "
        "can be given back from there.",
        "Deja tus dispositivos como están: no los restablezcas ni quites de ellos ninguna cuenta. Lo que solo ellos "
        "conservan se puede devolver desde allí.",
    ),
    "kind.identity": ("Sign-in and devices", "Acceso y dispositivos"),
    "kind.contacts": ("Contacts", "Contactos"),
    "kind.calendar": ("Calendar", "Calendario"),
    "kind.notes": ("Notes", "Notas"),
    "kind.tasks": ("Tasks", "Tareas"),
    "kind.photos": ("Photos", "Fotos"),
    "kind.scores": ("High scores", "Puntuaciones"),
    "exact": ("{count} are here exactly as you left them.", "{count} están exactamente como los dejaste."),
    "exact.one": ("1 is here exactly as you left it.", "1 está exactamente como lo dejaste."),
    "older": ("{count} are here in an older version:", "{count} están en una versión anterior:"),
    "older.one": ("1 is here in an older version:", "1 está en una versión anterior:"),
    "unsure": (
        "{count} are here, and at most {most} of them in an older version than your last; which ones cannot be told:",
        "{count} están, y como mucho {most} de ellos en una versión anterior a la última; no se puede saber cuáles:",
    ),
    "unsure.one": (
        "1 is here, and may be in an older version than your last:",
        "1 está, y puede que en una versión anterior a la última:",
    ),
    "ghost": (
        "{count} are known, and what was in them is in no source. They stay listed, so that a device that has one "
        "keeps it; save it there once more and it is whole again:",
        "{count} se conocen, pero su contenido no está en ninguna fuente. Siguen en la lista para que un dispositivo "
        "que tenga alguno lo conserve; guárdalo allí otra vez y volverá a estar completo:",
    ),
    "ghost.one": (
        "1 is known, and what was in it is in no source. It stays listed, so that a device that has it keeps it; save "
        "it there once more and it is whole again:",
        "1 se conoce, pero su contenido no está en ninguna fuente. Sigue en la lista para que un dispositivo que lo "
        "tenga lo conserve; guárdalo allí otra vez y volverá a estar completo:",
    ),
    "lost": ("{count} are lost:", "{count} se han perdido:"),
    "lost.one": ("1 is lost:", "1 se ha perdido:"),
    "unknown": (
        "{count} changes are missing of which nobody knows what they were: each may have made, changed or removed one.",
        "Faltan {count} cambios de los que nadie sabe qué eran: cada uno pudo crear, cambiar o quitar uno.",
    ),
    "unknown.one": (
        "1 change is missing of which nobody knows what it was: it may have made, changed or removed one.",
        "Falta 1 cambio del que nadie sabe qué era: pudo crear, cambiar o quitar uno.",
    ),
    "beyond": (
        "{count} changes came later; a device, or another trace of them, proves it, and they are in no source.",
        "Después hubo {count} cambios; lo demuestra un dispositivo u otro rastro, y no están en ninguna fuente.",
    ),
    "beyond.one": (
        "1 change came later; a device, or another trace of it, proves it, and it is in no source.",
        "Después hubo 1 cambio; lo demuestra un dispositivo u otro rastro, y no está en ninguna fuente.",
    ),
    "nothing": ("There was nothing of this.", "De esto no había nada."),
    "item": ("{where}", "«{where}»"),
    "item.older": (
        "{where}: this is the version of {at}, the last was of {newest}",
        "{where}: esta es la versión de {at}, la última era de {newest}",
    ),
    "item.known": ("{where}, last saved {newest}", "{where}, guardado por última vez el {newest}"),
    "more": ("and {count} more", "y {count} más"),
    "earlier": (
        "An earlier recovery has named as lost, and this one finds no more of it:",
        "Una recuperación anterior dio por perdido lo siguiente, y esta no encuentra más de ello:",
    ),
    "end": (
        "What you saved in the last {seconds} s before the loss is not known: nobody can tell what that was.",
        "No se sabe qué guardaste en los últimos {seconds} s antes de la pérdida: nadie puede decir qué fue.",
    ),
    "all-exact": ("Everything is here exactly as you left it.", "Todo está exactamente como lo dejaste."),
}


class ItemWords:
    """The words of one language."""

    __slots__ = ("_place",)

    def __init__(self, lang: str = "en") -> None:
        self._place = LANGUAGES.index(lang) if lang in LANGUAGES else 0

    def __call__(self, key: str, **values: object) -> str:
        return _WORDS[key][self._place].format(**values)

    def count(self, key: str, count: int, **values: object) -> str:
        one = f"{key}.one"
        return self(one if count == 1 and one in _WORDS else key, count=f"{count:,}".replace(",", " "), **values)

    @staticmethod
    def time(at: int) -> str:
        """A moment (µs) to the minute, in UTC; a dash where it is not known."""
        return datetime.fromtimestamp(at / _MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M") if at else "–"


def keys() -> Mapping[str, tuple[str, str]]:
    """All entries, each as (English, Spanish)."""
    return _WORDS
