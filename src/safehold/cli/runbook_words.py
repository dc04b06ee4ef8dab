"""What a walk through a runbook says and asks, in both languages, and the letters that answer it."""

from __future__ import annotations

from safehold.proof.runbooks.value import Text

STEP = Text("Step {number} of {count}: {title}", "Paso {number} de {count}: {title}")
CHANGES = Text("It changes: {changes}", "Cambia: {changes}")
COMMAND = Text("The command: {command}", "El comando: {command}")
CHECK = Text("The check: {check}", "La comprobación: {check}")
ONLY = Text("Is this so? {case}", "¿Es así? {case}")
NOT_NEEDED = Text("not needed here", "aquí no hace falta")
GOOD = Text("good", "bien")
WRONG = Text("not as expected: {wrong}", "no es lo esperado: {wrong}")
NOT_ASKED = Text("not asked (--yes): {question}", "no se pregunta (--yes): {question}")
WHY = Text("Why? (it goes on record)", "¿Por qué? (queda registrado)")
REALLY = Text(
    "It takes something away or cannot be taken back as easily. Run it?",
    "Quita algo o no se revierte tan fácilmente. ¿Ejecutarlo?",
)
NEEDED = Text("an answer is needed", "hace falta una respuesta")
YES_NO = Text("[y]es, [n]o, s[t]op", "[s]í, [n]o, [p]arar")
YES_NO_KEYS = Text("ynt", "snp")
COMMANDED = Text("[r]un it, I did it [m]yself, [s]kip, s[t]op", "[e]jecutarlo, lo hice yo [m]ismo, [o]mitir, [p]arar")
COMMANDED_KEYS = Text("rmst", "emop")
MANUAL = Text("[d]one, [s]kip, s[t]op", "[h]echo, [o]mitir, [p]arar")
MANUAL_KEYS = Text("dst", "hop")
ASKED = Text("[y]es, [n]o, [s]kip, s[t]op", "[s]í, [n]o, [o]mitir, [p]arar")
ASKED_KEYS = Text("ynst", "snop")
FAILED = Text("[a]gain, [g]o on all the same, s[t]op", "[o]tra vez, [s]eguir de todos modos, [p]arar")
FAILED_KEYS = Text("agt", "osp")
STOPPED = Text("stopped before step {number}, {title}", "parado antes del paso {number}, {title}")
ENDED = Text("ended: every check was good", "terminado: todas las comprobaciones fueron bien")
ENDED_BAD = Text("ended; not good: {steps}", "terminado; no fue bien: {steps}")
KEPT = Text("on record as {evidence}", "registrado como {evidence}")
WAITS = Text(
    "no vault takes its record now; it is put when the next walk ends",
    "ninguna bóveda admite ahora su registro; se pondrá al terminar el próximo recorrido",
)
RESUMED = Text("going on at step {number}", "se continúa en el paso {number}")
