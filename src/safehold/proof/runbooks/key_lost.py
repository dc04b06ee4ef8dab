"""A key is lost: the printed recovery key, the folder of keys, or both."""

from __future__ import annotations

from safehold.proof.runbooks.common import RECOVERY_KEY, checked, new_identity, scrubbed
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_PAPER = Case(
    "paper-lost",
    Text(
        "the printed recovery key is lost, and the keys on the machine are whole",
        "se ha perdido la clave de recuperación impresa, y las claves de la máquina están enteras",
    ),
)
_FOLDER = Case(
    "folder-lost",
    Text(
        "the folder `keys/`, or a file of it, is lost, and the recovery key is at hand",
        "se ha perdido la carpeta `keys/`, o un fichero de ella, y la clave de recuperación está a mano",
    ),
)
_ALL = Case(
    "all-lost",
    Text(
        "neither the folder `keys/` nor any recovery key is left, and the core is",
        "no queda ni la carpeta `keys/` ni ninguna clave de recuperación, y sí el núcleo",
    ),
)
_HERE = Case("keys-here", Text("the data folder has its keys now", "la carpeta de datos tiene ya sus claves"))

RUNBOOK = Runbook(
    name="key-lost",
    title=Text("A key is lost", "Se ha perdido una clave"),
    sort=Sort.CONTINGENCY,
    when=Text(
        "the paper with the recovery key cannot be found, a command says that a file in `keys/` is missing, or nobody knows which key opens a vault. A key that somebody else may have: [rotate-keys](rotate-keys.md). A service that runs has its keys in memory: do not end it before a new recovery key is printed.",
        "no aparece el papel con la clave de recuperación, un comando dice que falta un fichero en `keys/`, o nadie sabe qué clave abre una bóveda. Una clave que otra persona puede tener: [rotate-keys](rotate-keys.md). Un servicio en marcha tiene sus claves en memoria: no lo termine antes de imprimir una nueva clave de recuperación.",
    ),
    asked=(
        RECOVERY_KEY,
        Asked(
            "core",
            Text(
                "Where is the core that is left? (the folder core/)",
                "¿Dónde está el núcleo que queda? (la carpeta core/)",
            ),
            "/srv/safehold/core",
        ),
        Asked(
            "blobs",
            Text(
                "Where are its large bodies? (the folder blobs/ beside it)",
                "¿Dónde están sus cuerpos grandes? (la carpeta blobs/ junto a él)",
            ),
            "/srv/safehold/blobs",
        ),
        Asked(
            "salvage",
            Text("Into which folder is it to be salvaged?", "¿En qué carpeta hay que rescatarlo?"),
            "/srv/salvage",
            "salvage",
        ),
        Asked(
            "new",
            Text(
                "Which new data folder is the service to have?", "¿Qué carpeta de datos nueva ha de tener el servicio?"
            ),
            "/srv/safehold-2",
        ),
    ),
    steps=(
        new_identity(
            Text(
                "Somebody may find the paper. The new recovery key opens everything, also what was sealed before; the lost one opens nothing that is written from now on. Where you are sure that the paper is destroyed, `safehold vault keys recovery` prints the same key again.",
                "Alguien puede encontrar el papel. La nueva clave de recuperación lo abre todo, también lo sellado antes; la perdida no abre nada de lo que se escriba desde ahora. Si está seguro de que el papel está destruido, `safehold vault keys recovery` imprime otra vez la misma clave.",
            ),
            _PAPER,
            title=Text(
                "Make a new identity, and print its recovery key",
                "Haga una nueva identidad, e imprima su clave de recuperación",
            ),
            changes=Text("a new recovery key opens everything", "una nueva clave de recuperación lo abre todo"),
        ),
        Step(
            "stop",
            Text("Stop the service", "Pare el servicio"),
            Text(
                "A command that needs the missing file says so and ends with 3. Leave core and vaults as they are.",
                "Un comando que necesita el fichero que falta lo dice y termina con 3. Deje el núcleo y las bóvedas como están.",
            ),
            Asks(Text("Is the service stopped?", "¿Está parado el servicio?")),
            changes=Text("nobody is served", "no se atiende a nadie"),
            only=_FOLDER,
        ),
        Step(
            "aside",
            Text("Put aside what is left of the keys", "Aparte lo que queda de las claves"),
            Text(
                "Move what is left of `keys/` out of the data folder, and keep it. If there is a copy of the whole folder (`cp -a`, a backup of the machine), put that in its place instead and say yes to the last question.",
                "Mueva lo que quede de `keys/` fuera de la carpeta de datos, y consérvelo. Si hay una copia de la carpeta entera (`cp -a`, una copia de seguridad de la máquina), póngala en su lugar y responda sí a la última pregunta.",
            ),
            Asks(
                Text(
                    "Is there no folder `keys/` in the data folder now?",
                    "¿Ya no hay carpeta `keys/` en la carpeta de datos?",
                )
            ),
            only=_FOLDER,
        ),
        Step(
            "keys-back",
            Text("Make the keys anew out of the vaults", "Haga las claves de nuevo a partir de las bóvedas"),
            Text(
                "Root and older identities come out of the vaults; writer's and keeper's key are new, under that root. A core that is whole is left as it is. *The signing root does not travel in these vaults* means that it was moved offline: bring its file as `keys/root.txt`, and run again.",
                "La raíz y las identidades anteriores salen de las bóvedas; las claves de escritor y de guardián son nuevas, bajo esa raíz. Un núcleo entero se queda como está. *The signing root does not travel in these vaults* significa que se llevó fuera de línea: traiga su fichero como `keys/root.txt`, y ejecute otra vez.",
            ),
            Gives((0,)),
            ("recover", "run", "--yes", "--identity", "{identity}"),
            changes=Text("`keys/` is made anew", "se hace de nuevo `keys/`"),
            only=_FOLDER,
        ),
        Step(
            "salvage",
            Text("Read the core, while there is one", "Lea el núcleo, mientras lo haya"),
            Text(
                "What the vaults hold cannot be opened by anybody any more. The core is not encrypted: what it holds is salvaged. Stop the service first. Do not give the whole data folder: what lies in its vaults would ask for the key.",
                "Lo que contienen las bóvedas ya no puede abrirlo nadie. El núcleo no está cifrado: lo que contiene se rescata. Pare antes el servicio. No dé la carpeta de datos entera: lo que hay en sus bóvedas pediría la clave.",
            ),
            Gives((0, 1), (Expect("changes.chain", Test.LEAST, 1),)),
            ("salvage", "{core}", "{blobs}", "--out", "{salvage}"),
            changes=Text(
                "it fills the given folder with personal data in the clear",
                "llena la carpeta dada de datos personales sin cifrar",
            ),
            only=_ALL,
        ),
        Step(
            "new-installation",
            Text("Make a new installation of it", "Haga con ello una instalación nueva"),
            Text(
                "In an empty data folder it makes new keys and new vaults, and writes into them what came back. Passwords, tokens and ETags stay what they were: let the service's name point there, and devices go on. History from before the salvage that only the vaults had is gone; by `--accept-loss` you say so.",
                "En una carpeta de datos vacía hace claves nuevas y bóvedas nuevas, y escribe en ellas lo que volvió. Las contraseñas, los testigos y los ETag siguen siendo los que eran: haga que el nombre del servicio apunte ahí, y los dispositivos continúan. La historia anterior al rescate que solo tenían las bóvedas se ha perdido; con `--accept-loss` usted lo dice.",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes", "--accept-loss", "--salvage", "{salvage}", "--data", "{new}"),
            changes=Text("a new installation is made", "se hace una instalación nueva"),
            dangerous=True,
            only=_ALL,
        ),
        Step(
            "new-print",
            Text("Print its recovery key", "Imprima su clave de recuperación"),
            Text("Twice, and keep the two in different places.", "Dos veces, y guárdelas en lugares distintos."),
            Gives(),
            ("vault", "keys", "recovery", "--data", "{new}"),
            only=_ALL,
        ),
        Step(
            "new-checked",
            Text("See that nothing is unmet there", "Compruebe que allí no queda nada pendiente"),
            Text(
                "The old data folder is kept until nobody misses anything.",
                "La carpeta de datos vieja se conserva hasta que nadie eche nada en falta.",
            ),
            Gives(),
            ("status", "--check", "--data", "{new}"),
            only=_ALL,
        ),
        Step(
            "printed",
            Text("Print the recovery key", "Imprima la clave de recuperación"),
            Text(
                "Twice, and keep the two in different places, neither of them this machine. `--qr` prints it as a QR code too.",
                "Dos veces, y guárdelas en lugares distintos, ninguno de ellos esta máquina. `--qr` la imprime también como código QR.",
            ),
            Gives(),
            ("vault", "keys", "recovery"),
            only=_HERE,
        ),
        scrubbed(only=_HERE),
        checked(only=_HERE),
        Step(
            "where",
            Text("Note where the keys are", "Anote dónde están las claves"),
            Text(
                "Who may fetch them, and who has to be asked, too.",
                "También quién puede ir a buscarlas, y a quién hay que preguntar.",
            ),
            Asks(
                Text(
                    "Is the recovery key on paper in two places, and is it noted where?",
                    "¿Está la clave de recuperación en papel en dos lugares, y está anotado dónde?",
                )
            ),
        ),
    ),
    more=(
        Section(
            Text("If the core is gone as well", "Si el núcleo tampoco está"),
            Text(
                "With neither a key nor a core nothing of a vault can be opened by anybody. What is left are exports, photos, old cores and the devices themselves: salvage what there is ([both-lost](both-lost.md)), and let people sync to a new installation only after they have exported from their devices.",
                "Sin clave y sin núcleo nadie puede abrir nada de una bóveda. Quedan las exportaciones, las fotos, los núcleos viejos y los propios dispositivos: rescate lo que haya ([both-lost](both-lost.md)), y deje que las personas sincronicen con una instalación nueva solo después de haber exportado de sus dispositivos.",
            ),
        ),
    ),
)
