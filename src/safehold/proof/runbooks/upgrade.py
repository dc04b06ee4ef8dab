"""A newer release is to be installed."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, scrubbed, snapshotted, start, stop
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_BAD = Case("goes-wrong", Text("the new release does not do what it should", "la versión nueva no hace lo que debe"))

RUNBOOK = Runbook(
    name="upgrade",
    title=Text("Upgrade to a newer release", "Actualizar a una versión más nueva"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "a newer release is to be installed. The service is away for the time of a stop and a start; devices try again.",
        "hay que instalar una versión más nueva. El servicio falta lo que duran una parada y un arranque; los dispositivos lo intentan de nuevo.",
    ),
    asked=(
        Asked(
            "copy",
            Text("Into which folder is the data folder copied?", "¿A qué carpeta se copia la carpeta de datos?"),
            "/srv/safehold-before",
        ),
    ),
    steps=(
        checked("before"),
        snapshotted(),
        scrubbed(),
        Step(
            "version",
            Text("Note the release that runs", "Anote la versión que corre"),
            Text("So that it can be put back.", "Para poder volver a ponerla."),
            Gives(),
            ("--version",),
        ),
        stop(),
        Step(
            "copy",
            Text("Copy the data folder", "Copie la carpeta de datos"),
            Text(
                "With the service stopped, whole and with its times: `cp -a`, `rsync -a`, or a snapshot of the filesystem. A newer release may bring the core's tables up to date when it starts; the older one then does not read them any more. The check looks into the copy.",
                "Con el servicio parado, entera y con sus fechas: `cp -a`, `rsync -a`, o una instantánea del sistema de ficheros. Una versión más nueva puede actualizar las tablas del núcleo al arrancar; la más vieja ya no las lee entonces. La comprobación mira en la copia.",
            ),
            Gives(
                (0,),
                (Expect("accounts", Test.LEAST, 0), Expect("service", Test.IS, "stopped")),
                ("status", "--data", "{copy}"),
            ),
            changes=Text("a copy is made", "se hace una copia"),
        ),
        Step(
            "install",
            Text("Install the new release", "Instale la versión nueva"),
            Text(
                "Put its folder in the place of the old one, and keep the old one. `bin/safehold` makes its environment anew at its first use: run it once, as the user of the service, while nobody waits.",
                "Ponga su carpeta en el lugar de la vieja, y conserve la vieja. `bin/safehold` hace de nuevo su entorno en su primer uso: ejecútelo una vez, como el usuario del servicio, mientras nadie espera.",
            ),
            Asks(Text("Is the new release in place?", "¿Está la versión nueva en su sitio?")),
            changes=Text("the program", "el programa"),
        ),
        Step(
            "new-version",
            Text("See that it is the new one", "Vea que es la nueva"),
            Text("It prints the version.", "Imprime la versión."),
            Gives(),
            ("--version",),
        ),
        start(),
        checked(),
        scrubbed("scrubbed-after"),
        Step(
            "back",
            Text("Go back", "Vuelva atrás"),
            Text(
                "Stop the service, put the old program back, and start it. If it refuses the core, move the data folder's `core/` away and let the old program recover from the vaults ([recover](recover.md)): the vaults have all that was acknowledged meanwhile, which the copy has not. Only if the vaults are refused as well: the copy.",
                "Pare el servicio, vuelva a poner el programa viejo, e inícielo. Si rechaza el núcleo, aparte `core/` de la carpeta de datos y deje que el programa viejo se recupere desde las bóvedas ([recover](recover.md)): las bóvedas tienen todo lo confirmado entretanto, que la copia no tiene. Solo si también rechaza las bóvedas: la copia.",
            ),
            Asks(Text("Does the old release serve again?", "¿Vuelve a servir la versión vieja?")),
            changes=Text("the program", "el programa"),
            dangerous=True,
            only=_BAD,
        ),
    ),
    more=(
        Section(
            Text("The copy", "La copia"),
            Text(
                "It holds the keys and everybody's data. Remove it once the new release has done a snapshot, a scrub and a drill.",
                "Contiene las claves y los datos de todos. Elimínela cuando la versión nueva haya hecho una instantánea, una revisión y un simulacro.",
            ),
        ),
    ),
)
