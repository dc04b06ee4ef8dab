"""The core and every vault are gone or damaged."""

from __future__ import annotations

from safehold.proof.runbooks.common import RECOVERY_KEY, checked, scrubbed, snapshotted, start
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Sort, Step, Test, Text

_LOST = Case(
    "something-lost",
    Text(
        "streams stay *held*, and there is no other source left to try",
        "quedan flujos *retenidos* y no hay ninguna otra fuente que probar",
    ),
)
_WAITS = Case(
    "no-change-yet",
    Text(
        "the run said *no change can be taken yet* and named the repair of a vault",
        "la ejecución dijo *no change can be taken yet* y nombró la reparación de una bóveda",
    ),
)
_VAULTS = Case(
    "vaults-gone",
    Text(
        "the data folder has its keys still and its vaults are gone for good",
        "la carpeta de datos aún tiene sus claves y sus bóvedas se han perdido para siempre",
    ),
)

RUNBOOK = Runbook(
    name="both-lost",
    title=Text(
        "Both lost: the core and every vault are gone or damaged",
        "Ambos perdidos: el núcleo y todas las bóvedas han desaparecido o están dañados",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`safehold recover plan` says that much is lost, or cannot read any vault at all. Nothing below writes to what is damaged, and each step can be done again.",
        "`safehold recover plan` dice que se ha perdido mucho, o no puede leer ninguna bóveda. Nada de lo que sigue escribe en lo dañado, y cada paso puede repetirse.",
    ),
    asked=(
        Asked(
            "source",
            Text(
                "What is to be salvaged? (a file, folder or image)",
                "¿Qué hay que rescatar? (un fichero, carpeta o imagen)",
            ),
            "/copies/safehold-data",
        ),
        Asked("salvage", Text("Into which folder?", "¿En qué carpeta?"), "/srv/salvage", "salvage"),
        RECOVERY_KEY,
    ),
    steps=(
        Step(
            "stop",
            Text("Stop, and touch nothing", "Pare, y no toque nada"),
            Text(
                """    systemctl stop safehold

A service that runs takes what its devices show it, and devices delete what a server does not list. Leave the server stopped, or let `serve` answer 503 by itself: phones that get no answer keep what they have. Do not run `fsck`, `VACUUM`, `sqlite3 .recover` or a repair of a vault on the only copy. Do not let anybody reset a phone.""",
                """    systemctl stop safehold

Un servicio en marcha toma lo que le muestran sus dispositivos, y los dispositivos borran lo que un servidor no lista. Deje el servidor parado, o deje que `serve` responda 503 por sí solo: los teléfonos que no reciben respuesta conservan lo que tienen. No ejecute `fsck`, `VACUUM`, `sqlite3 .recover` ni la reparación de una bóveda sobre la única copia. No deje que nadie restablezca un teléfono.""",
            ),
            Asks(Text("Is the service stopped?", "¿Está parado el servicio?")),
            changes=Text("nobody is served", "no se atiende a nadie"),
        ),
        Step(
            "copy",
            Text("Copy what is left", "Copie lo que queda"),
            Text(
                """Copy disks that fail whole, with a tool that goes on after errors (`ddrescue /dev/sdb near.img near.map`), and folders with their times (`cp -a`). Sort nothing and leave nothing out: a salvage tells by content what each file is, and looks into images at every byte. Collect as well

- the recovery key: the printed copy, or `keys/recovery.txt`. Without it nothing of a vault can be opened; cores, exports and photos can be read.
- old cores: copies beside the data folder, `core.*.aside`, backups of the machine
- vaults that were thought to be retired, halves of copies, single files out of them
- exports that people made, Takeout archives, photo folders, `.vcf` and `.ics` files
- sync tokens, where somebody can read them out of a device or its log: one a line in a text file""",
                """Copie enteros los discos que fallan, con una herramienta que siga tras los errores (`ddrescue /dev/sdb near.img near.map`), y las carpetas con sus fechas (`cp -a`). No ordene nada ni deje nada fuera: un rescate sabe por el contenido qué es cada fichero, y mira en las imágenes byte a byte. Reúna también

- la clave de recuperación: la copia impresa, o `keys/recovery.txt`. Sin ella no se puede abrir nada de una bóveda; los núcleos, exportaciones y fotos sí se pueden leer.
- núcleos viejos: copias junto a la carpeta de datos, `core.*.aside`, copias de seguridad de la máquina
- bóvedas que se creían retiradas, mitades de copias, ficheros sueltos de ellas
- exportaciones que hicieron las personas, archivos de Takeout, carpetas de fotos, ficheros `.vcf` e `.ics`
- testigos de sincronización, si alguien puede leerlos de un dispositivo o de su registro: uno por línea en un fichero de texto""",
            ),
            Asks(Text("Is everything copied that is left?", "¿Está copiado todo lo que queda?")),
        ),
        Step(
            "salvage",
            Text("Salvage", "Rescate"),
            Text(
                """It reads all of the source and writes only below the given folder, which needs about as much room as what is found, and stands by itself then: disks that fail can be put away. Run it again with whatever turns up later: it adds. Where something later tells how to read what came before (the recovery key's older half, a segment that names the writer), give the earlier sources once more. Several sources may be given at once; things of one person are given with their name:

    safehold salvage takeout-20261101.zip ~/ada-photos --account ada --out /srv/salvage

It says what each source was and what was wrong with it (`sources.txt`), and what would come back. `report.txt` has what is not exact, `accounts/NAME.txt` a text for each person, `quarantine/index.txt` what failed verification and why. What lies in the quarantine is never brought back by itself: look through it, and import by hand what a person knows to be theirs.

Exit code 0: all that is expected is exact. 1: something is older or lost, or went aside. 3: it could not finish, a full disk for one; run it again.""",
                """Lee toda la fuente y solo escribe bajo la carpeta dada, que necesita más o menos tanto sitio como lo que se encuentre y luego se basta sola: los discos que fallan pueden guardarse. Ejecútelo otra vez con lo que aparezca después: añade. Si algo posterior dice cómo leer lo que vino antes (la mitad más vieja de la clave de recuperación, un segmento que nombra al escritor), dé una vez más las fuentes anteriores. Pueden darse varias fuentes a la vez; las cosas de una persona se dan con su nombre:

    safehold salvage takeout-20261101.zip ~/ada-photos --account ada --out /srv/salvage

Dice qué era cada fuente y qué tenía mal (`sources.txt`), y qué volvería. `report.txt` tiene lo que no es exacto, `accounts/NOMBRE.txt` un texto para cada persona, `quarantine/index.txt` lo que no superó la verificación y por qué. Lo que está en la cuarentena nunca vuelve por sí solo: revíselo, e importe a mano lo que una persona sepa que es suyo.

Código 0: todo lo esperado es exacto. 1: algo es anterior o se perdió, o quedó aparte. 3: no pudo terminar, por ejemplo por un disco lleno; ejecútelo otra vez.""",
            ),
            Gives((0, 1), (Expect("changes.chain", Test.LEAST, 1),)),
            ("salvage", "{source}", "--out", "{salvage}", "--identity", "{identity}"),
            changes=Text(
                "it fills the given folder with personal data in the clear",
                "llena la carpeta dada de datos personales sin cifrar",
            ),
        ),
        Step(
            "vault-near",
            Text("Make the vaults anew", "Haga las bóvedas de nuevo"),
            Text(
                "In an empty data folder the run below makes them, as a new installation does, and takes the keys from the recovery key.",
                "En una carpeta de datos vacía las hace la ejecución de abajo, como una instalación nueva, y toma las claves de la clave de recuperación.",
            ),
            Gives(),
            ("vault", "add", "near"),
            changes=Text(
                "an empty vault is made at the configured place", "se hace una bóveda vacía en el lugar configurado"
            ),
            only=_VAULTS,
        ),
        Step(
            "vault-far",
            Text("And the second one", "Y la segunda"),
            Text("Choose another disk for it, in `safehold.toml`.", "Elija para ella otro disco, en `safehold.toml`."),
            Gives(),
            ("vault", "add", "far"),
            changes=Text(
                "an empty vault is made at the configured place", "se hace una bóveda vacía en el lugar configurado"
            ),
            only=_VAULTS,
        ),
        Step(
            "plan",
            Text("Plan", "Planifique"),
            Text(
                """In a data folder whose configuration names the vaults that are left, if any. What proves itself goes back on its stream as it was; what proves itself only alone, and things out of exports, come back as new changes of the actor `recovery`, and only where the history knows nothing better: a recorded delete stays deleted, an erased account stays erased, a newer version stays.

Compare its counts with what people tell you is missing, before anything runs. Another copy, an older disk or an export may still close a gap: then salvage again.""",
                """En una carpeta de datos cuya configuración nombre las bóvedas que quedan, si queda alguna. Lo que se prueba a sí mismo vuelve a su flujo como era; lo que solo se prueba aislado, y las cosas de exportaciones, vuelven como cambios nuevos del actor `recovery`, y solo si la historia no sabe nada mejor: un borrado registrado sigue borrado, una cuenta borrada sigue borrada, una versión más nueva se queda.

Compare sus cifras con lo que las personas le dicen que falta, antes de ejecutar nada. Otra copia, un disco más viejo o una exportación aún pueden cerrar un hueco: entonces rescate otra vez.""",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan", "--salvage", "{salvage}", "--identity", "{identity}"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
        ),
        Step(
            "run",
            Text("Run", "Ejecute"),
            Text(
                """It builds the new core and puts it into place; what was there is kept aside. Streams of which revs are missing stay *held*: devices are told to come again later, and delete nothing.

Give the same `--salvage` with every further run, also with `--accept-loss`: until the vaults hold what was salvaged, a run without it builds a core from the vaults alone, which lacks it (the core that was there stays in `scratch/`).""",
                """Construye el núcleo nuevo y lo pone en su lugar; lo que había se aparta y se conserva. Los flujos a los que les faltan revisiones quedan *retenidos*: a los dispositivos se les dice que vuelvan más tarde, y no borran nada.

Dé el mismo `--salvage` en cada ejecución posterior, también con `--accept-loss`: hasta que las bóvedas tengan lo rescatado, una ejecución sin él construye un núcleo solo con las bóvedas, al que eso le falta (el núcleo que había queda en `scratch/`).""",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--salvage", "{salvage}", "--identity", "{identity}", "--yes"),
            changes=Text(
                "a new core is put into place; what was salvaged goes into the vaults",
                "se pone un núcleo nuevo en su lugar; lo rescatado va a las bóvedas",
            ),
            dangerous=True,
        ),
        Step(
            "repair",
            Text("Do what the run names", "Haga lo que nombra la ejecución"),
            Text(
                "Where the run says *no change can be taken yet*, do what it names, mostly `safehold vault repair near --yes`, and then `safehold recover run --salvage /srv/salvage --yes` once more: it writes what was salvaged into the vaults.",
                "Si la ejecución dice *no change can be taken yet*, haga lo que nombra, casi siempre `safehold vault repair near --yes`, y luego `safehold recover run --salvage /srv/salvage --yes` una vez más: escribe lo rescatado en las bóvedas.",
            ),
            Gives((0, 1)),
            ("vault", "repair", "--yes"),
            changes=Text(
                "damaged objects are mended; what was there lies in `aside/`",
                "se reparan los objetos dañados; lo que había queda en `aside/`",
            ),
            dangerous=True,
            only=_WAITS,
        ),
        Step(
            "run-again",
            Text("And run once more", "Y ejecute una vez más"),
            Text("What was salvaged goes into the vaults now.", "Ahora lo rescatado va a las bóvedas."),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--salvage", "{salvage}", "--identity", "{identity}", "--yes"),
            changes=Text("a new core is put into place", "se pone un núcleo nuevo en su lugar"),
            dangerous=True,
            only=_WAITS,
        ),
        Step(
            "accept-loss",
            Text("Say that what is lost is gone", "Diga que lo perdido ya no está"),
            Text(
                "You take the loss on yourself, and held streams are served again; what is known to have been there and has no body anywhere stays listed as a ghost, so that a phone that has it keeps it.",
                "Usted asume la pérdida, y los flujos retenidos se vuelven a servir; lo que se sabe que estuvo y no tiene cuerpo en ninguna parte sigue en la lista como fantasma, para que un teléfono que lo tenga lo conserve.",
            ),
            Gives((0, 1)),
            ("recover", "run", "--salvage", "{salvage}", "--identity", "{identity}", "--yes", "--accept-loss"),
            changes=Text(
                "streams that were held are served again, without what is lost",
                "los flujos retenidos se vuelven a servir, sin lo perdido",
            ),
            dangerous=True,
            only=_LOST,
        ),
        Step(
            "report",
            Text("Read what came back", "Lea lo que ha vuelto"),
            Text(
                "By account and kind, each loss by name where anybody knows it.",
                "Por cuenta y tipo, cada pérdida por su nombre si alguien lo sabe.",
            ),
            Gives((0, 1), (Expect("timeline", Test.LEAST, 1),)),
            ("recover", "report"),
        ),
        scrubbed(),
        snapshotted(),
        start(),
        checked(),
        Step(
            "afterwards",
            Text("Afterwards", "Después"),
            Text(
                "Make new vaults on other disks (`safehold vault add NAME URL`, [add-vault](add-vault.md)) before the service is opened to everybody, and give each person their text. Keep `/srv/salvage` and the copies until nobody misses anything: what turns up later is salvaged into the same folder. The folder holds personal data in the clear; it belongs to the operator alone (mode 0700), and is removed like that.",
                "Haga bóvedas nuevas en otros discos (`safehold vault add NAME URL`, [add-vault](add-vault.md)) antes de abrir el servicio a todos, y dé a cada persona su texto. Conserve `/srv/salvage` y las copias hasta que nadie eche nada en falta: lo que aparezca después se rescata en la misma carpeta. La carpeta contiene datos personales sin cifrar; pertenece solo al operador (modo 0700), y como tal se elimina.",
            ),
            Asks(
                Text(
                    "Has each person their text, and are there vaults on other disks?",
                    "¿Tiene cada persona su texto, y hay bóvedas en otros discos?",
                )
            ),
        ),
    ),
)
