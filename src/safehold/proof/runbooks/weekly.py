"""What to look at once a week."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, scrubbed
from safehold.proof.runbooks.value import Asks, Expect, Gives, Runbook, Sort, Step, Test, Text

RUNBOOK = Runbook(
    name="weekly",
    title=Text("Once a week", "Una vez por semana"),
    sort=Sort.PREVENTION,
    when=Text(
        "a week has passed. It takes ten minutes, and is what finds out that the backup does not really happen, that an alarm reaches nobody, or that the key is where nobody can find it, while there is time.",
        "ha pasado una semana. Son diez minutos, y es lo que descubre que la copia en realidad no se hace, que una alarma no llega a nadie, o que la clave está donde nadie la encuentra, mientras aún hay tiempo.",
    ),
    steps=(
        checked("status"),
        Step(
            "risks",
            Text("Read the risks", "Lea los riesgos"),
            Text(
                "`at risk` says which parts would be lost together: one disk, one machine, one user. It is no incident, and it is how both are lost.",
                "`at risk` dice qué partes se perderían juntas: un disco, una máquina, un usuario. No es un incidente, y es como se pierden ambos.",
            ),
            Asks(
                Text(
                    "Have the risks been read, and is none of them new?",
                    "¿Se han leído los riesgos, y no hay ninguno nuevo?",
                )
            ),
        ),
        scrubbed("scrub"),
        Step(
            "reconcile",
            Text("Compare the core with the vaults", "Compare el núcleo con las bóvedas"),
            Text("Heads and state roots, stream by stream.", "Cabezas y raíces de estado, flujo por flujo."),
            Gives((0,), (Expect("reconciled.differences", Test.EMPTY),)),
            ("scrub", "--level", "list", "--reconcile"),
        ),
        Step(
            "drill",
            Text("Look at the drills", "Mire los simulacros"),
            Text(
                "A recovery, timed, into a scratch core that is compared with the live one. It fails before the disaster does.",
                "Una recuperación cronometrada, en un núcleo de pruebas que se compara con el vivo. Falla antes que el desastre.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("drill", "run"),
            changes=Text("evidence is added", "se añade evidencia"),
        ),
        Step(
            "keeper",
            Text("See that the keeper works", "Vea que el guardián trabaja"),
            Text(
                "Its date is of today or yesterday, and nothing is `blocked`. In a keeper's own folder ask with `--data FOLDER`.",
                "Su fecha es de hoy o de ayer, y nada está `blocked`. En la carpeta de un guardián pregunte con `--data FOLDER`.",
            ),
            Gives(),
            ("keeper", "status"),
        ),
        Step(
            "alarm",
            Text("Try the alarms", "Pruebe las alarmas"),
            Text(
                "Through every channel. Then ask whoever has duty whether it arrived: [alarm-channel](alarm-channel.md).",
                "Por todos los canales. Luego pregunte a quien está de guardia si llegó: [alarm-channel](alarm-channel.md).",
            ),
            Gives(),
            ("alarm", "test"),
            changes=Text("a test is sent, and kept as evidence", "se envía una prueba, y queda como evidencia"),
        ),
        Step(
            "evidence",
            Text("Verify the evidence", "Verifique la evidencia"),
            Text(
                "Signatures and chain: no record was removed or altered.",
                "Firmas y cadena: no se eliminó ni alteró ningún registro.",
            ),
            Gives(),
            ("evidence", "verify"),
        ),
        Step(
            "key",
            Text("See that the recovery key can be found", "Vea que la clave de recuperación se encuentra"),
            Text(
                "Go to where it is kept. Compare its first and last group with `safehold vault keys recovery`, where the identity lies here.",
                "Vaya a donde se guarda. Compare su primer y su último grupo con `safehold vault keys recovery`, si la identidad está aquí.",
            ),
            Asks(Text("Is it where it should be, and can it be read?", "¿Está donde debe, y se puede leer?")),
        ),
        Step(
            "machine",
            Text("Look at the machine", "Mire la máquina"),
            Text(
                "Free room on every disk, the disks' own figures (`smartctl -a`), updates of the system, the date on which the certificate runs out.",
                "Sitio libre en cada disco, las cifras de los propios discos (`smartctl -a`), actualizaciones del sistema, la fecha en que caduca el certificado.",
            ),
            Asks(
                Text(
                    "Is there nothing that will not last another week?",
                    "¿No hay nada que no vaya a aguantar otra semana?",
                )
            ),
        ),
    ),
)
