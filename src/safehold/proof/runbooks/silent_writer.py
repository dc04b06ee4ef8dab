"""Nothing arrives in a vault any more: the archiver stopped, or a writer fell silent."""

from __future__ import annotations

from safehold.proof.runbooks.common import VAULT, checked, snapshotted
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_STOPPED = Case(
    "stopped", Text("`service` is *stopped*, or it does not answer", "`service` es *stopped*, o no responde")
)
_AWAY = Case("vault-away", Text("the vault's `state` is not *reachable*", "el `state` de la bóveda no es *reachable*"))

RUNBOOK = Runbook(
    name="silent-writer",
    title=Text("Nothing arrives in a vault any more", "A una bóveda ya no llega nada"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "a keeper or an outside monitor says that a writer has fallen silent, `status` counts `unarchived` changes that grow, or the incident *writing stopped* stands. A running service leaves a sign of life in each vault even where nobody writes: silence means that it does not run, cannot reach the vault, or hangs.",
        "un guardián o un vigilante externo dice que un escritor ha enmudecido, `status` cuenta cambios `unarchived` que crecen, o hay un incidente *writing stopped*. Un servicio en marcha deja en cada bóveda una señal de vida aunque nadie escriba: el silencio significa que no corre, que no alcanza la bóveda, o que se ha colgado.",
    ),
    asked=(VAULT,),
    steps=(
        Step(
            "look",
            Text("Look, on the service's machine", "Mire, en la máquina del servicio"),
            Text(
                "`service`, and of each vault `state`, `unarchived` and `lag`. *writing stopped* says why: a full disk ([disk-full](disk-full.md)), a core that could not commit, a higher timeline (another writer has taken over: [old-core](old-core.md)). If the machine itself does not answer, that is the trouble: bring it back, or go on with [bare-machine](bare-machine.md).",
                "`service`, y de cada bóveda `state`, `unarchived` y `lag`. *writing stopped* dice por qué: un disco lleno ([disk-full](disk-full.md)), un núcleo que no pudo confirmar, una línea temporal más alta (otro escritor ha tomado el relevo: [old-core](old-core.md)). Si es la propia máquina la que no responde, ese es el problema: devuélvala, o siga con [bare-machine](bare-machine.md).",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "vault",
            Text("Bring the vault back", "Traiga de vuelta la bóveda"),
            Text(
                "Mount it, start its keeper, end what hangs: [lost-vault](lost-vault.md).",
                "Móntela, inicie su guardián, termine lo que se cuelga: [lost-vault](lost-vault.md).",
            ),
            Gives((0,), (Expect("vaults.name={vault}.state", Test.IS, "reachable"),), ("status",)),
            only=_AWAY,
        ),
        Step(
            "start",
            Text("Start the service", "Inicie el servicio"),
            Text(
                "`systemctl start safehold`, or `safehold serve`. Look into its log for what ended it; one that was killed takes in what it had vaulted and goes on. One that hangs is ended first (`systemctl kill -s KILL safehold`): nothing that was acknowledged is lost by it.",
                "`systemctl start safehold`, o `safehold serve`. Mire en su registro qué lo terminó; uno que fue matado incorpora lo que había puesto en la bóveda y continúa. Uno colgado se termina antes (`systemctl kill -s KILL safehold`): con ello no se pierde nada confirmado.",
            ),
            Gives((0,), (Expect("service", Test.IS, "serving"),), ("status",)),
            changes=Text(
                "devices are served, and vaults are brought level",
                "se atiende a los dispositivos, y las bóvedas se ponen al día",
            ),
            only=_STOPPED,
        ),
        snapshotted(),
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
        Step(
            "scrub",
            Text("See that what should be there is", "Vea que está lo que debe estar"),
            Text(
                "Names and sizes of all that seals speak of, and the log's end. A vault that acknowledges and drops is found out by this.",
                "Nombres y tamaños de todo aquello de lo que hablan los sellos, y el final del registro. Así se descubre una bóveda que confirma y descarta.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("scrub", "--level", "list"),
        ),
        checked(),
        Step(
            "alarm",
            Text("See that the alarm is over", "Vea que la alarma ha terminado"),
            Text(
                "A keeper sees the next sign of life within minutes.",
                "Un guardián ve la siguiente señal de vida en minutos.",
            ),
            Asks(Text("Has the alarm cleared, or is that seen to?", "¿Ha cesado la alarma, o alguien lo vigila?")),
        ),
    ),
)
