"""Keys are to be replaced, by plan or since somebody else may have them."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, new_identity, new_writer, scrubbed, snapshotted
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_KEEPER = Case(
    "keeper-elsewhere",
    Text(
        "a keeper works elsewhere, with a copy of the identity",
        "un guardián trabaja en otro lugar, con una copia de la identidad",
    ),
)

RUNBOOK = Runbook(
    name="rotate-keys",
    title=Text("Rotate the keys", "Renovar las claves"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "keys are replaced by plan (once a year, or when somebody who could read them leaves), or a machine, disk or paper with a key may be in other hands. The service may run: it takes new keys up at once, closes its timeline and opens the next.",
        "las claves se renuevan según un plan (una vez al año, o cuando se va alguien que podía leerlas), o una máquina, un disco o un papel con una clave puede estar en otras manos. El servicio puede seguir en marcha: toma las claves nuevas en el acto, cierra su línea temporal y abre la siguiente.",
    ),
    steps=(
        Step(
            "show",
            Text("See which keys there are", "Vea qué claves hay"),
            Text(
                "Whose word counts, who can read, where each lies and what that costs. Where root or identity lie elsewhere, bring their medium: `--root FILE`, and `identity.txt` into `keys/`.",
                "De quién vale la palabra, quién puede leer, dónde está cada clave y qué cuesta eso. Si la raíz o la identidad están en otro lugar, traiga su medio: `--root FILE`, e `identity.txt` en `keys/`.",
            ),
            Gives((0,), (Expect("installation", Test.FILLED),)),
            ("vault", "keys", "show"),
        ),
        scrubbed("before"),
        new_writer(
            Text(
                "Certified by the root, for the timelines from the next one on. What the old key signed stays valid.",
                "Certificada por la raíz, para las líneas temporales desde la siguiente. Lo que firmó la clave vieja sigue siendo válido.",
            ),
            name="writer",
            title=Text("A new writer's key", "Una nueva clave de escritor"),
        ),
        new_identity(
            Text(
                "And with it a new recovery key. The old identity stays in `identity.txt`, to read what was sealed to it, and travels in the vaults, sealed to the new one, so that the new recovery key alone opens everything. What was sealed before can still be read by whoever has an old vault and the old key: nothing undoes that.",
                "Y con ella una nueva clave de recuperación. La identidad vieja queda en `identity.txt`, para leer lo que se selló para ella, y viaja en las bóvedas, sellada para la nueva, de modo que la nueva clave de recuperación sola lo abre todo. Lo sellado antes aún puede leerlo quien tenga una bóveda vieja y la clave vieja: nada deshace eso.",
            ),
            name="identity",
            title=Text("A new identity", "Una nueva identidad"),
            changes=Text("a new recovery key opens everything", "una nueva clave de recuperación lo abre todo"),
        ),
        Step(
            "print",
            Text("Print the new recovery key", "Imprima la nueva clave de recuperación"),
            Text(
                "Twice, and keep the two in different places. Keep the old ones as well until every vault has a newer generation: they open nothing that is written from now on. `--qr` prints it as a QR code too, `--svg FILE` and `--png FILE` write that into a file.",
                "Dos veces, y guárdelas en lugares distintos. Conserve también las viejas hasta que cada bóveda tenga una generación más nueva: no abren nada de lo que se escriba desde ahora. `--qr` la imprime también como código QR, `--svg FILE` y `--png FILE` lo escriben en un fichero.",
            ),
            Gives(),
            ("vault", "keys", "recovery"),
        ),
        Step(
            "kept",
            Text("Put it where it is kept", "Póngala donde se guarda"),
            Text("And note where, and who may fetch it.", "Y anote dónde, y quién puede ir a buscarla."),
            Asks(
                Text(
                    "Is the new recovery key on paper in two places?",
                    "¿Está la nueva clave de recuperación en papel en dos lugares?",
                )
            ),
        ),
        Step(
            "keeper",
            Text("Give the keeper the new identity", "Dé al guardián la nueva identidad"),
            Text(
                "Copy the new `identity.txt` into its `keys/`; else it says *sealed to a key that was not given*, and attests nothing.",
                "Copie el nuevo `identity.txt` en su `keys/`; si no, dice *sealed to a key that was not given*, y no da fe de nada.",
            ),
            Asks(Text("Does the keeper have it?", "¿La tiene el guardián?")),
            only=_KEEPER,
        ),
        snapshotted(),
        scrubbed(),
        checked(),
    ),
    more=(
        Section(
            Text("Passwords", "Contraseñas"),
            Text(
                "They are no keys of vaults. `safehold account passwd NAME` replaces one, `safehold account app-password NAME --revoke LABEL` locks a device out.",
                "No son claves de bóvedas. `safehold account passwd NAME` cambia una, `safehold account app-password NAME --revoke LABEL` cierra el paso a un dispositivo.",
            ),
        ),
    ),
)
