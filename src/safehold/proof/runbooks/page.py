"""Pages of docs/runbooks/ out of the data: one a runbook and language, and an index a language. Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from safehold.proof.runbooks.value import Asks, Runbook, Sort, Step, Text

_MADE = Text(
    "Made from `src/safehold/proof/runbooks/{module}.py` by `python -m safehold.cli.runbook_pages docs/runbooks`; "
    "`safehold runbook run {name}` walks through it.",
    "Hecha a partir de `src/safehold/proof/runbooks/{module}.py` con `python -m safehold.cli.runbook_pages docs/runbooks`; "
    "`safehold runbook run {name} --lang es` la recorre paso a paso.",
)
_OTHER = Text("[En español](es/{name}.md)", "[In English](../{name}.md)")
_WHEN = Text("For when: ", "Para cuando: ")
_ONLY = Text("Only where", "Solo si")
_CHECK = Text("Check", "Comprobación")
_CHANGES = Text("Changes", "Cambia")
_DANGEROUS = Text("Think before you run it: ", "Piénselo antes de ejecutarlo: ")
_ASKED = Text("What is asked on the way", "Lo que se pregunta por el camino")
_EXIT = Text("exit code", "código de salida")
_OR = Text(" or ", " o ")
_SORTS = {
    Sort.CONTINGENCY: Text("Something has happened", "Ha pasado algo"),
    Sort.PREVENTION: Text("So that nothing does", "Para que no pase nada"),
    Sort.MAINTENANCE: Text("Work on a system that is well", "Trabajo en un sistema que está bien"),
}
_INDEX_TITLE = Text("Runbooks", "Procedimientos")
_INDEX_HEAD = Text(
    "What to do when something has happened, so that it does not, and when something is to be changed. Each begins with how to tell, and each step says what it "
    "changes. Nothing in them removes anything from a vault but what is said to.",
    "Qué hacer cuando ha pasado algo, para que no pase, y cuando hay que cambiar algo. Cada uno empieza por cómo saberlo, y cada paso dice qué cambia. Nada en "
    "ellos elimina nada de una bóveda salvo lo que se dice.",
)
_INDEX_ROW = Text("| what you see | page |", "| lo que ve | página |")


def page(runbook: Runbook, lang: str) -> str:
    """The whole page of one, as it lies in docs/runbooks/, or in es/ below it."""
    module = runbook.name.replace("-", "_")
    made = _MADE.to(lang).format(module=module, name=runbook.name)
    title, _, rest = text(runbook, lang).partition("\n")
    if lang != "en":
        rest = rest.replace("](../", "](../../")
    return f"{title}\n\n{_OTHER.to(lang).format(name=runbook.name)}. {made}\n{rest}"


def text(runbook: Runbook, lang: str) -> str:
    """All of one, for a terminal."""
    lines = [f"# {runbook.title.to(lang)}", ""]
    lines += [f"{_WHEN.to(lang)}{runbook.when.to(lang)}", ""]
    if runbook.asked:
        lines += [f"{_ASKED.to(lang)}:", ""]
        lines += [f"- `{{{asked.name}}}`: {asked.question.to(lang)}" for asked in runbook.asked]
        lines.append("")
    for number, step in enumerate(runbook.steps, 1):
        lines += _step(number, step, lang)
    for section in runbook.more:
        lines += [f"## {section.title.to(lang)}", "", section.text.to(lang), ""]
    return "\n".join(lines).rstrip() + "\n"


def index(runbooks: Iterable[Runbook], lang: str) -> str:
    """The page that leads to all of them."""
    books = list(runbooks)
    lines = [f"# {_INDEX_TITLE.to(lang)}", "", _INDEX_HEAD.to(lang), ""]
    lines += ["[En español](es/README.md)." if lang == "en" else "[In English](../README.md).", ""]
    for sort, title in _SORTS.items():
        lines += [f"## {title.to(lang)}", "", _INDEX_ROW.to(lang), "| --- | --- |"]
        lines += [f"| {_row(book, lang)} |" for book in books if book.sort is sort]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def command_text(command: Iterable[str]) -> str:
    """As it is typed; placeholders stay as they are."""
    words = (word if "{" in word else shlex.quote(word) for word in command)
    return " ".join(("safehold", *words))


def check_text(step: Step, lang: str, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """What tells that a step has done what it is for, in one line; with `values` for what placeholders stand for."""
    told = _check_text(step, lang)
    for name, value in values.items():
        told = told.replace(f"{{{name}}}", value)
    return told


def _check_text(step: Step, lang: str) -> str:
    check = step.check
    if isinstance(check, Asks):
        return check.question.to(lang)
    exits = f"{_EXIT.to(lang)} {_OR.to(lang).join(map(str, check.exits))}"
    wanted = [exits, *(f"`{expect}`" for expect in check.expects)]
    if check.command is None:
        return ", ".join(wanted)
    return f"`{command_text(check.command)}{' --json' if check.expects else ''}`: {', '.join(wanted)}"


def _step(number: int, step: Step, lang: str) -> list[str]:
    lines = [f"## {number}. {step.title.to(lang)}", ""]
    if step.only is not None:
        lines += [f"*{_ONLY.to(lang)} {step.only.text.to(lang)}.*", ""]
    lines += [step.text.to(lang), ""]
    if step.command is not None:
        lines += [f"    {command_text(step.command)}", ""]
    lines += [f"{_CHECK.to(lang)}: {check_text(step, lang)}", ""]
    if changes := step.changes.to(lang):
        warned = _DANGEROUS.to(lang) if step.dangerous else ""
        lines += [f"{_CHANGES.to(lang)}: {warned}{changes}.", ""]
    return lines


def _row(book: Runbook, lang: str) -> str:
    seen = book.when.to(lang).partition("\n")[0].replace("|", "\\|")
    first = seen.partition(". ")[0].rstrip(".")
    return f"{first} | [{book.name}]({book.name}.md): {book.title.to(lang)}"
