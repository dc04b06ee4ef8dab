"""The machine's clock is wrong, or was."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, scrubbed, snapshotted, start, stop
from safehold.proof.runbooks.value import Asks, Runbook, Section, Sort, Step, Text

RUNBOOK = Runbook(
    name="clock",
    title=Text("The clock is wrong, or has jumped", "El reloj va mal, o ha saltado"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "an alarm says that the clock has jumped, changes bear times of another day, a certificate is suddenly not valid, or a job that was due yesterday is due in a year. No order of changes hangs on the clock, and retention goes by what a vault has received in which order: a wrong clock loses nothing. It makes ages, schedules and times of the history wrong.",
        "una alarma dice que el reloj ha saltado, los cambios llevan la hora de otro día, un certificado de pronto no es válido, o una tarea que tocaba ayer toca dentro de un año. Ningún orden de cambios depende del reloj, y la retención se rige por lo que una bóveda ha recibido y en qué orden: un reloj equivocado no pierde nada. Hace que sean falsas las edades, los plazos y las horas de la historia.",
    ),
    steps=(
        stop(),
        Step(
            "set",
            Text("Put the clock right", "Ponga el reloj en hora"),
            Text(
                "`timedatectl` says what it is and whether it is synchronised; `timedatectl set-ntp true`, or the time server of the house. On a virtual machine look at the host's clock, too; on a small one whether the battery of its clock is empty.",
                "`timedatectl` dice cuál es y si está sincronizado; `timedatectl set-ntp true`, o el servidor de hora de la casa. En una máquina virtual mire también el reloj del anfitrión; en una pequeña, si se ha agotado la pila de su reloj.",
            ),
            Asks(Text("Is the clock right now, and kept right?", "¿Va bien ahora el reloj, y se mantiene en hora?")),
            changes=Text("the machine's time", "la hora de la máquina"),
        ),
        start(),
        snapshotted(),
        scrubbed(),
        checked(),
        Step(
            "note",
            Text("Note the span", "Anote el intervalo"),
            Text(
                "Changes and evidence of that time bear wrong times for ever: nothing that was written is rewritten. Their order is right. Note from when to when it was, for whoever reads a report.",
                "Los cambios y la evidencia de ese tiempo llevan para siempre horas falsas: nada de lo escrito se reescribe. Su orden es correcto. Anote desde cuándo y hasta cuándo fue, para quien lea un informe.",
            ),
            Asks(Text("Is it noted?", "¿Está anotado?")),
        ),
    ),
    more=(
        Section(
            Text("What a wrong clock does", "Qué hace un reloj equivocado"),
            Text(
                """- `--to TIME` of `undo` and `recover` means times as they were written then. Name a point of the history (`contacts:120`) instead of a time that lies in the span.
- A pause of grace (an erasure put off, a lock) that was begun in the span ends by that clock: look at `safehold account list`.
- Certificates and signatures of devices' connections are judged by the clock: phones say that the server cannot be trusted until it is right.
- Evidence that is dated ahead makes a scrub or a drill look younger than it is: run one now.""",
                """- `--to TIME` de `undo` y `recover` se refiere a las horas como se escribieron entonces. Nombre un punto de la historia (`contacts:120`) en lugar de una hora que esté en el intervalo.
- Un plazo de gracia (un borrado aplazado, un bloqueo) que empezó en el intervalo acaba según aquel reloj: mire `safehold account list`.
- Los certificados y firmas de las conexiones de los dispositivos se juzgan por el reloj: los teléfonos dicen que el servidor no es de fiar hasta que vaya bien.
- La evidencia fechada por delante hace que una revisión o un simulacro parezca más reciente de lo que es: haga uno ahora.""",
            ),
        ),
    ),
)
