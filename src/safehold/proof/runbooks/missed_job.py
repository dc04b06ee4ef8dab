"""A job that is done on a schedule was not done."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked
from safehold.proof.runbooks.value import Asks, Expect, Gives, Runbook, Sort, Step, Test, Text

RUNBOOK = Runbook(
    name="missed-job",
    title=Text(
        "A job was missed: snapshot, keeping, scrub, drill or alarm test",
        "Faltó una tarea: instantánea, custodia, revisión, simulacro o prueba de alarma",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`status` or an alarm says that a job is overdue or has failed (*no snapshot*, *no keeping*, a scrub or drill that is too old). Nothing is lost by it; what it would have found out is not known.",
        "`status` o una alarma dice que una tarea va con retraso o ha fallado (*no snapshot*, *no keeping*, una revisión o un simulacro demasiado viejos). Con ello no se pierde nada; lo que habría descubierto no se sabe.",
    ),
    steps=(
        Step(
            "look",
            Text("See why", "Vea por qué"),
            Text(
                "The incident says why the last run failed: a vault that is away ([lost-vault](lost-vault.md)), a full disk ([disk-full](disk-full.md)), damage ([damaged-vault](damaged-vault.md)), a key that does not lie here. Where no reason stands, nothing has tried: the service was down, or the timer is off (`systemctl list-timers`). `run/jobs/NAME.json` in the data folder has when the last run began and ended; `run/jobs/NAME.lock` is held while one runs.",
                "El incidente dice por qué falló la última vez: una bóveda ausente ([lost-vault](lost-vault.md)), un disco lleno ([disk-full](disk-full.md)), un daño ([damaged-vault](damaged-vault.md)), una clave que no está aquí. Si no hay ninguna razón, nadie lo ha intentado: el servicio estaba parado, o el temporizador está apagado (`systemctl list-timers`). `run/jobs/NOMBRE.json` en la carpeta de datos dice cuándo empezó y terminó la última vez; `run/jobs/NOMBRE.lock` está tomado mientras corre una.",
            ),
            Gives(),
            ("status",),
        ),
        Step(
            "snapshot",
            Text("Write a generation now", "Escriba ahora una generación"),
            Text("Where one is running already, this waits for it.", "Si ya hay una en marcha, esta la espera."),
            Gives((0,), (Expect("sealed", Test.IS, True),)),
            ("snapshot",),
            changes=Text("a generation is added to the vaults", "se añade una generación a las bóvedas"),
        ),
        Step(
            "keep",
            Text("Keep the vaults now", "Custodie ahora las bóvedas"),
            Text(
                "Scrubs, attests and retains. Where another machine keeps them, it is done there.",
                "Revisa, da fe y retiene. Si las guarda otra máquina, se hace allí.",
            ),
            Gives((0,), (Expect("vaults.*.trouble", Test.EMPTY),)),
            ("keeper", "run", "--once"),
            changes=Text(
                "evidence is added; what retention allows is removed",
                "se añade evidencia; se elimina lo que la retención permite",
            ),
        ),
        Step(
            "scrub",
            Text("Read every vault now", "Lea ahora todas las bóvedas"),
            Text("`--limit 20MiB` leaves the disks to the service.", "`--limit 20MiB` deja los discos al servicio."),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("scrub",),
            changes=Text("evidence is added", "se añade evidencia"),
        ),
        Step(
            "drill",
            Text("Run a drill now", "Haga ahora un simulacro"),
            Text(
                "A rolling one: the share of the accounts whose turn it is, into a scratch core.",
                "Uno rotatorio: la parte de las cuentas a la que le toca, en un núcleo de pruebas.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("drill", "run", "--rolling"),
            changes=Text("evidence is added", "se añade evidencia"),
        ),
        checked(),
        Step(
            "schedule",
            Text("See that the next one comes", "Vea que llega la siguiente"),
            Text(
                "The service does these by itself while it runs; where timers do (`contrib/systemd`), `systemctl list-timers` shows when each is next.",
                "El servicio las hace por sí solo mientras corre; si las hacen temporizadores (`contrib/systemd`), `systemctl list-timers` muestra cuándo toca cada una.",
            ),
            Asks(Text("Will the next one come?", "¿Llegará la siguiente?")),
        ),
    ),
)
