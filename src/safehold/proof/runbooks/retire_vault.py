"""A vault is to be kept no more."""

from __future__ import annotations

from safehold.proof.runbooks.common import OTHER, VAULT, WHY, another_instead, checked, snapshotted, start, stop
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_SYNC = Case(
    "is-sync",
    Text("its mode is *sync*, and another vault takes its place", "su modo es *sync*, y otra bóveda ocupa su lugar"),
)

RUNBOOK = Runbook(
    name="retire-vault",
    title=Text("Retire a vault", "Retirar una bóveda"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "a disk or place is given up while it still works, and at least two other vaults are whole, or one was added first ([add-vault](add-vault.md)).",
        "se deja un disco o un lugar mientras aún funciona, y hay al menos otras dos bóvedas enteras, o antes se añadió una ([add-vault](add-vault.md)).",
    ),
    asked=(
        VAULT,
        OTHER,
        WHY,
    ),
    steps=(
        snapshotted(),
        Step(
            "others",
            Text("Read every vault whole", "Lea todas las bóvedas por completo"),
            Text(
                "What stays must be whole before something goes.",
                "Lo que queda debe estar entero antes de que algo se vaya.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True), Expect("reconciled.differences", Test.EMPTY))),
            ("scrub", "--reconcile"),
        ),
        Step(
            "level",
            Text("See that every vault is level", "Vea que todas las bóvedas están al día"),
            Text("Give an async vault some moments.", "Dé unos instantes a una bóveda asíncrona."),
            Gives(
                (0,),
                (Expect("vaults.*.unarchived_changes", Test.IS, 0), Expect("vaults.*.state", Test.IS, "reachable")),
            ),
            ("status",),
        ),
        another_instead(
            "mode",
            Text("Let answers wait for another one", "Haga que las respuestas esperen a otra"),
            Text(
                "In one step, on record. Refused where no sync vault would be left.",
                "En un solo paso, y queda registrado. Se rechaza si no quedara ninguna bóveda síncrona.",
            ),
            _SYNC,
        ),
        stop(),
        Step(
            "configuration",
            Text("Take it out of the configuration", "Quítela de la configuración"),
            Text(
                "Remove its section `[vaults.NAME]` from `safehold.toml`. The next start puts on record that it is gone.",
                "Elimine su sección `[vaults.NOMBRE]` de `safehold.toml`. El siguiente arranque deja constancia de que ya no está.",
            ),
            Gives(
                (0,),
                (Expect("vaults.name={vault}.name", Test.EMPTY), Expect("vaults.*.state", Test.IS, "reachable")),
                ("status",),
            ),
            changes=Text("nothing is written to this vault any more", "ya no se escribe nada en esta bóveda"),
            dangerous=True,
        ),
        start(),
        checked(),
        Step(
            "medium",
            Text("Put the medium away, or destroy it", "Guarde el medio, o destrúyalo"),
            Text(
                "The folder still holds everything up to now, encrypted: it opens to whoever has the recovery key. Kept and labelled with the date it is one more source for a recovery. But it keeps what people have erased as well: destroy it by the day that they were told ([erasure](erasure.md)).",
                "La carpeta aún contiene todo hasta ahora, cifrado: se abre a quien tenga la clave de recuperación. Guardada y rotulada con la fecha es una fuente más para una recuperación. Pero también conserva lo que las personas han borrado: destrúyala para el día que se les dijo ([erasure](erasure.md)).",
            ),
            Asks(Text("Is it decided what becomes of the medium?", "¿Está decidido qué se hace con el medio?")),
        ),
    ),
)
