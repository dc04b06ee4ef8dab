"""One account's data is gone, and nobody else's."""

from __future__ import annotations

from safehold.proof.runbooks.common import ACCOUNT, checked, start, stop
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_DELETED = Case(
    "deleted", Text("the history tells that it was deleted or changed", "la historia dice que se borró o se cambió")
)
_MISSING = Case(
    "not-in-core",
    Text(
        "the history does not tell of it, or the person gets 503: the core lacks it",
        "la historia no habla de ello, o la persona recibe 503: le falta al núcleo",
    ),
)

RUNBOOK = Runbook(
    name="one-account",
    title=Text("One account's data is gone", "Han desaparecido los datos de una cuenta"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "one person misses contacts, events, notes, tasks, photos or scores on all devices, and nobody else does.",
        "una persona echa en falta contactos, citas, notas, tareas, fotos o puntuaciones en todos sus dispositivos, y nadie más.",
    ),
    asked=(
        ACCOUNT,
        Asked(
            "kind",
            Text(
                "Of which kind? (contacts, calendar, notes, tasks, photos, scores)",
                "¿De qué tipo? (contacts, calendar, notes, tasks, photos, scores)",
            ),
            "contacts",
        ),
        Asked("point", Text("Back to which point, or time?", "¿A qué punto, u hora, hay que volver?"), "contacts:120"),
        Asked(
            "folder",
            Text("Into which new folder is it to be exported?", "¿A qué carpeta nueva hay que exportarlo?"),
            "ada-export",
        ),
    ),
    steps=(
        Step(
            "ask",
            Text("Ask, before anything is synced", "Pregunte, antes de sincronizar nada"),
            Text(
                "What is missing, since when, and whether some device still shows it: that one is to stay offline, and is exported from first. Nobody resets a device, and nobody removes an account from one.",
                "Qué falta, desde cuándo, y si algún dispositivo lo muestra aún: ese ha de quedarse sin conexión, y se exporta de él antes que nada. Nadie restablece un dispositivo, y nadie quita de él una cuenta.",
            ),
            Asks(Text("Do you know what is missing, and since when?", "¿Sabe qué falta, y desde cuándo?")),
        ),
        Step(
            "export",
            Text("Keep what is there now", "Guarde lo que hay ahora"),
            Text(
                "Each body is verified as it leaves. Exit code 1 names what could not be written whole: that is damage, and belongs to [damaged-core](damaged-core.md).",
                "Cada cuerpo se verifica al salir. El código 1 nombra lo que no se pudo escribir entero: eso es un daño, y corresponde a [damaged-core](damaged-core.md).",
            ),
            Gives((0, 1)),
            ("export", "{account}", "{folder}"),
            changes=Text("a folder of plain files is made", "se hace una carpeta de ficheros corrientes"),
        ),
        Step(
            "history",
            Text("Read the history", "Lea la historia"),
            Text(
                "Who changed what, when, and from which device. The `change` column names each change; the point before it is the one before.",
                "Quién cambió qué, cuándo y desde qué dispositivo. La columna `change` nombra cada cambio; el punto anterior es el de antes.",
            ),
            Gives((0, 1)),
            ("history", "{account}", "--kind", "{kind}"),
        ),
        Step(
            "dry-run",
            Text("See what an undo would bring back", "Vea qué devolvería deshacer"),
            Text(
                "Only what was deleted since comes back; what was added or changed stays ([mass-deletion](mass-deletion.md) has the other ways).",
                "Solo vuelve lo que se borró desde entonces; lo añadido o cambiado se queda ([mass-deletion](mass-deletion.md) tiene los otros caminos).",
            ),
            Gives((0,), (Expect("added", Test.FILLED),)),
            ("undo", "{account}", "--kind", "{kind}", "--deleted", "--to", "{point}", "--dry-run"),
            only=_DELETED,
        ),
        Step(
            "undo",
            Text("Bring it back", "Devuélvalo"),
            Text(
                "Devices get it with their next sync.", "Los dispositivos lo reciben con su siguiente sincronización."
            ),
            Gives((0,), (Expect("added", Test.FILLED),)),
            ("undo", "{account}", "--kind", "{kind}", "--deleted", "--to", "{point}"),
            changes=Text(
                "what was deleted is there again, by new changes", "lo borrado está otra vez, con cambios nuevos"
            ),
            only=_DELETED,
        ),
        Step(
            "reconcile",
            Text("Compare the core with the vaults", "Compare el núcleo con las bóvedas"),
            Text(
                "Each stream's head and state root. Exit code 1: `reconciled` names the streams that differ.",
                "La cabeza y la raíz de estado de cada flujo. Código 1: `reconciled` nombra los flujos que difieren.",
            ),
            Gives((0, 1)),
            ("scrub", "--reconcile"),
            only=_MISSING,
        ),
        stop(_MISSING),
        Step(
            "plan",
            Text("Look at what the vaults have of it", "Mire qué tienen de ello las bóvedas"),
            Text(
                "`safehold recover plan --account NAME` shows this account alone.",
                "`safehold recover plan --account NAME` muestra solo esta cuenta.",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
            only=_MISSING,
        ),
        Step(
            "run",
            Text("Recover", "Recupere"),
            Text(
                "Everybody's data is read and compared, so that nobody else's is less afterwards. With `--account NAME` this one comes back first, and the others wait for a second run.",
                "Se leen y comparan los datos de todos, para que después no falte nada de nadie. Con `--account NAME` vuelve primero esta, y las demás esperan a una segunda ejecución.",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes"),
            changes=Text(
                "the core takes in what it lacks, or is built anew",
                "el núcleo incorpora lo que le falta, o se construye de nuevo",
            ),
            dangerous=True,
            only=_MISSING,
        ),
        start(_MISSING),
        Step(
            "ghosts",
            Text("See whether a body is gone everywhere", "Vea si falta un cuerpo en todas partes"),
            Text(
                "A ghost is known to have been there and has no body anywhere. A device that still has it makes it whole by sending it once more.",
                "De un fantasma se sabe que estuvo y no tiene cuerpo en ninguna parte. Un dispositivo que aún lo tenga lo completa enviándolo una vez más.",
            ),
            Gives((0, 1)),
            ("recover", "ghosts", "--account", "{account}"),
        ),
        checked(),
        Step(
            "told",
            Text("Ask the person", "Pregunte a la persona"),
            Text("They look at a device, or at their page.", "Mira en un dispositivo, o en su página."),
            Asks(Text("Is everything there that they miss?", "¿Está todo lo que echaba en falta?")),
        ),
    ),
)
