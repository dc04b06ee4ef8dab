"""A kind, an account or a vault has stopped arriving, or has become smaller."""

from __future__ import annotations

from safehold.proof.runbooks.common import ACCOUNT, checked, scrubbed
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_VAULT = Case(
    "a-vault", Text("it is a vault that shrank, or lacks objects", "es una bóveda la que encogió, o le faltan objetos")
)
_ACCOUNT = Case("an-account", Text("it is an account, or a kind of one", "es una cuenta, o un tipo de una cuenta"))

RUNBOOK = Runbook(
    name="shrunk",
    title=Text(
        "Something has stopped arriving, or has become smaller", "Algo ha dejado de llegar, o se ha hecho más pequeño"
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "an alarm says that a kind or an account, which used to grow, gets nothing any more, that a count fell, or that a vault has become smaller without retention having said so. A backup that succeeds and holds less each day is how many losses begin.",
        "una alarma dice que un tipo o una cuenta, que solía crecer, ya no recibe nada, que una cifra ha bajado, o que una bóveda se ha hecho más pequeña sin que la retención lo haya dicho. Una copia que termina bien y contiene menos cada día es como empiezan muchas pérdidas.",
    ),
    asked=(
        ACCOUNT,
        Asked(
            "kind",
            Text(
                "Of which kind? (contacts, calendar, notes, tasks, photos, scores)",
                "¿De qué tipo? (contacts, calendar, notes, tasks, photos, scores)",
            ),
            "photos",
        ),
    ),
    steps=(
        Step(
            "look",
            Text("See what it is", "Vea qué es"),
            Text(
                "Counts by kind, vaults, incidents. If every kind is affected at once, look at the service before the accounts: [silent-writer](silent-writer.md).",
                "Cifras por tipo, bóvedas, incidentes. Si están afectados todos los tipos a la vez, mire el servicio antes que las cuentas: [silent-writer](silent-writer.md).",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "reconcile",
            Text("Compare the core with the vaults", "Compare el núcleo con las bóvedas"),
            Text(
                "It reads every vault whole, and compares heads and state roots of every stream. 0: core and vaults agree, and what is missing was never sent or was deleted on record. 1: the damage is named, and the streams that differ.",
                "Lee todas las bóvedas por completo, y compara cabezas y raíces de estado de cada flujo. 0: el núcleo y las bóvedas coinciden, y lo que falta no se envió nunca o se borró y quedó registrado. 1: se nombra el daño, y los flujos que difieren.",
            ),
            Gives((0, 1), (Expect("vaults.*.trouble", Test.EMPTY),)),
            ("scrub", "--reconcile"),
        ),
        Step(
            "repair",
            Text("Mend the vault", "Repare la bóveda"),
            Text(
                "From the others, or from the core: [damaged-vault](damaged-vault.md). Find out who removed something before you do: only retention may, and it says so in evidence.",
                "A partir de las otras, o del núcleo: [damaged-vault](damaged-vault.md). Antes averigüe quién eliminó algo: solo puede hacerlo la retención, y lo dice en la evidencia.",
            ),
            Gives(),
            ("vault", "repair", "--yes"),
            changes=Text(
                "missing objects are written again; what was there lies in `aside/`",
                "se escriben otra vez los objetos que faltan; lo que había queda en `aside/`",
            ),
            dangerous=True,
            only=_VAULT,
        ),
        Step(
            "devices",
            Text("See which devices still come", "Vea qué dispositivos aún vienen"),
            Text(
                "`last_used` of each app password, by the day. A phone that was replaced, a password that was changed, an app that lost its permission to read photos: nothing is lost then, but nothing is kept any more either. Tell the person.",
                "`last_used` de cada contraseña de aplicación, por días. Un teléfono sustituido, una contraseña cambiada, una aplicación que perdió el permiso de leer fotos: entonces no se ha perdido nada, pero tampoco se guarda ya nada. Avise a la persona.",
            ),
            Gives(),
            ("account", "app-password", "{account}", "--list"),
            only=_ACCOUNT,
        ),
        Step(
            "history",
            Text("See what was deleted", "Vea qué se borró"),
            Text(
                "A count that fell was deleted by somebody: who and when stands here. If they did not mean to: [mass-deletion](mass-deletion.md), and [one-account](one-account.md).",
                "Una cifra que bajó la borró alguien: aquí está quién y cuándo. Si no quería hacerlo: [mass-deletion](mass-deletion.md), y [one-account](one-account.md).",
            ),
            Gives(),
            ("history", "{account}", "--kind", "{kind}"),
            only=_ACCOUNT,
        ),
        Step(
            "explained",
            Text("Say why", "Diga por qué"),
            Text(
                "Do not silence the alarm without a reason that you could tell an auditor.",
                "No silencie la alarma sin una razón que pudiera contar a un auditor.",
            ),
            Asks(
                Text(
                    "Is it known why less arrives, and is that right or put right?",
                    "¿Se sabe por qué llega menos, y está bien así o ya corregido?",
                )
            ),
        ),
        scrubbed(),
        checked(),
    ),
)
