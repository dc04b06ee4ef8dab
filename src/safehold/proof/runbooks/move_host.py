"""The service moves to another disk, folder or machine."""

from __future__ import annotations

from safehold.proof.runbooks.common import snapshotted, stop
from safehold.proof.runbooks.value import Asked, Asks, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

RUNBOOK = Runbook(
    name="move-host",
    title=Text("Move to another disk or machine", "Pasar a otro disco o a otra máquina"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "a disk or machine is to be replaced while it still works. If it does not any more: [bare-machine](bare-machine.md). The service is away while the folder is copied; what has not changed may be copied before.",
        "hay que sustituir un disco o una máquina mientras aún funciona. Si ya no funciona: [bare-machine](bare-machine.md). El servicio falta mientras se copia la carpeta; lo que no cambia puede copiarse antes.",
    ),
    asked=(
        Asked(
            "new",
            Text("Where is the data folder from now on?", "¿Dónde está la carpeta de datos desde ahora?"),
            "/mnt/new/safehold",
        ),
    ),
    steps=(
        snapshotted(),
        Step(
            "before",
            Text("Copy what does not change", "Copie lo que no cambia"),
            Text(
                "While the service runs: `rsync -a` of the data folder to its new place. The copy is not good yet; the second one, below, is quick for it.",
                "Con el servicio en marcha: `rsync -a` de la carpeta de datos a su nuevo lugar. La copia aún no es buena; gracias a ella la segunda, abajo, es rápida.",
            ),
            Asks(
                Text(
                    "Is it copied, or small enough to be copied later?",
                    "¿Está copiada, o es lo bastante pequeña para copiarla después?",
                )
            ),
        ),
        stop(),
        Step(
            "copy",
            Text("Copy all of it", "Cópielo todo"),
            Text(
                "With the service stopped: `rsync -a --delete OLD/ NEW/`. Vaults that lie elsewhere stay there, or are copied the same way. A relative `url` of a vault means the data folder's new place; an absolute one is changed in `safehold.toml` of the new folder, where the vault moves, too.",
                "Con el servicio parado: `rsync -a --delete VIEJA/ NUEVA/`. Las bóvedas que están en otro lugar se quedan ahí, o se copian del mismo modo. Una `url` relativa de una bóveda se refiere al nuevo lugar de la carpeta de datos; una absoluta se cambia en el `safehold.toml` de la carpeta nueva, si la bóveda también se mueve.",
            ),
            Gives(
                (0,),
                (Expect("vaults.*.state", Test.IS, "reachable"), Expect("service", Test.IS, "stopped")),
                ("status", "--data", "{new}"),
            ),
            changes=Text(
                "the data folder lies in two places; only the new one goes on",
                "la carpeta de datos está en dos lugares; solo la nueva sigue",
            ),
        ),
        Step(
            "old-off",
            Text("See that the old one never starts again", "Asegúrese de que la vieja no vuelva a arrancar"),
            Text(
                "`systemctl disable safehold` there, or rename the folder. An old core that came back would be refused by the vaults that both know, and told why ([old-core](old-core.md)); where it has copies of its own of all vaults, nothing could refuse it, and people's changes would be in two places.",
                "`systemctl disable safehold` allí, o cambie el nombre de la carpeta. A un núcleo viejo que volviera lo rechazarían las bóvedas que ambos conocen, y le dirían por qué ([old-core](old-core.md)); si tiene copias propias de todas las bóvedas, nada podría rechazarlo, y los cambios de las personas estarían en dos sitios.",
            ),
            Asks(Text("Can the old one not start by itself any more?", "¿Ya no puede arrancar sola la vieja?")),
            changes=Text("the old service is off", "el servicio viejo queda apagado"),
        ),
        Step(
            "scrub",
            Text("Read every vault in its new place", "Lea todas las bóvedas en su nuevo lugar"),
            Text(
                "A copy that was cut short, or a disk that lies, is found out now, while the old one is there.",
                "Una copia truncada, o un disco que miente, se descubre ahora, mientras la vieja aún está.",
            ),
            Gives((0,), (Expect("ok", Test.IS, True), Expect("reconciled.differences", Test.EMPTY))),
            ("scrub", "--reconcile", "--data", "{new}"),
        ),
        Step(
            "start",
            Text("Start the service there", "Inicie el servicio ahí"),
            Text(
                "`safehold --data /mnt/new/safehold serve`, or with its unit changed. Let the old name point to the new machine; devices go on with the passwords and tokens that they have.",
                "`safehold --data /mnt/new/safehold serve`, o con su unidad cambiada. Haga que el nombre viejo apunte a la máquina nueva; los dispositivos continúan con las contraseñas y testigos que tienen.",
            ),
            Gives((0,), (Expect("service", Test.IS, "serving"),), ("status", "--data", "{new}")),
            changes=Text("devices are served from the new place", "se atiende a los dispositivos desde el nuevo lugar"),
        ),
        Step(
            "checked",
            Text("See that nothing is unmet", "Compruebe que no queda nada pendiente"),
            Text("Then let a device sync, and look at it.", "Luego sincronice un dispositivo, y mírelo."),
            Gives(),
            ("status", "--check", "--data", "{new}"),
        ),
    ),
    more=(
        Section(
            Text("The old folder", "La carpeta vieja"),
            Text(
                "It holds keys and everybody's data. Keep it until the new place has done a snapshot, a scrub and a drill; then erase the disk. If it may be in other hands, change the keys: [rotate-keys](rotate-keys.md).",
                "Contiene claves y los datos de todos. Consérvela hasta que el nuevo lugar haya hecho una instantánea, una revisión y un simulacro; luego borre el disco. Si puede estar en otras manos, cambie las claves: [rotate-keys](rotate-keys.md).",
            ),
        ),
    ),
)
