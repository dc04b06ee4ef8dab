"""Nothing is left but a vault and the recovery key."""

from __future__ import annotations

from safehold.proof.runbooks.common import RECOVERY_KEY, loss_accepted, made_anew, new_identity, new_writer, start
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_DOUBT = Case(
    "no-other-vault",
    Text(
        "it said *how the log had ended is not known*, and you are sure that no other vault is ahead",
        "dijo *how the log had ended is not known*, y está seguro de que ninguna otra bóveda va por delante",
    ),
)
_SECOND = Case(
    "second-vault",
    Text("a vault that is configured is not on this machine", "una bóveda configurada no está en esta máquina"),
)
_STOLEN = Case("stolen", Text("the old machine may be in other hands", "la máquina vieja puede estar en otras manos"))

RUNBOOK = Runbook(
    name="bare-machine",
    title=Text(
        "A bare machine: nothing is left but a vault and the recovery key",
        "Una máquina vacía: no queda más que una bóveda y la clave de recuperación",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "the machine is gone, with its core, its keys and its configuration. What is needed: a folder that holds a vault (a disk, a mount, a copy of either), the recovery key (its text on paper, its QR code, or `recovery.txt`), and Safehold on the new machine. Accounts, passwords, app passwords, configuration and all kinds come back; devices go on as if nothing had been. Nothing here removes or overwrites anything in the vault.",
        "la máquina ha desaparecido, con su núcleo, sus claves y su configuración. Hace falta: una carpeta que contenga una bóveda (un disco, un montaje, una copia de cualquiera de ellos), la clave de recuperación (su texto en papel, su código QR o `recovery.txt`) y Safehold en la máquina nueva. Vuelven cuentas, contraseñas, contraseñas de aplicación, configuración y todos los tipos; los dispositivos siguen como si nada. Nada de esto elimina ni sobrescribe nada en la bóveda.",
    ),
    asked=(
        Asked(
            "url",
            Text("Where does the vault lie? (`folder:PATH`)", "¿Dónde está la bóveda? (`folder:RUTA`)"),
            "folder:/mnt/usb/near",
        ),
        RECOVERY_KEY,
        Asked(
            "missing",
            Text("Which vault is to be made anew? (its name)", "¿Qué bóveda hay que hacer de nuevo? (su nombre)"),
            "far",
        ),
    ),
    steps=(
        Step(
            "key",
            Text("Write the recovery key into a file", "Escriba la clave de recuperación en un fichero"),
            Text(
                """    printf '%s\\n' 'SAFEHOLD-RECOVERY-1-…' > recovery.txt

Capitals, blanks and dashes do not matter, O counts as 0, I and L as 1. A wrong character is noticed, and the group that it stands in is named. Several keys may stand in the file, one a line: the newest alone is enough. With an older one alone the run stops, *from frame N on the log is sealed to a key that was not given*, before it changes anything: look for the newest. `--accept-loss` goes on without all that came since.""",
                """    printf '%s\\n' 'SAFEHOLD-RECOVERY-1-…' > recovery.txt

Las mayúsculas, los espacios y los guiones no importan; la O vale como 0, la I y la L como 1. Un carácter equivocado se nota, y se nombra el grupo en el que está. En el fichero puede haber varias claves, una por línea: basta la más nueva. Con una más vieja sola, la ejecución se detiene, *from frame N on the log is sealed to a key that was not given*, antes de cambiar nada: busque la más nueva. `--accept-loss` sigue sin todo lo que vino desde entonces.""",
            ),
            Asks(Text("Is the recovery key in a file?", "¿Está la clave de recuperación en un fichero?")),
        ),
        Step(
            "look",
            Text("Look", "Mire"),
            Text(
                "It reads and verifies everything, and writes nothing but a plan file. Name with `--data` the folder that the service is to have, such as `safehold --data /srv/safehold recover plan`. A vault whose log is not signed under the root that the recovery key names is refused: *belongs to another installation*, *not certified*. If you have several vaults, look into each and take the one that is ahead: *unknown seconds* and the count of changes tell.",
                "Lee y verifica todo, y no escribe más que un fichero de plan. Nombre con `--data` la carpeta que ha de tener el servicio, como en `safehold --data /srv/safehold recover plan`. Una bóveda cuyo registro no esté firmado bajo la raíz que nombra la clave de recuperación se rechaza: *belongs to another installation*, *not certified*. Si tiene varias bóvedas, mire cada una y tome la que vaya por delante: lo dicen *unknown seconds* y el número de cambios.",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan", "--vault", "{url}", "--identity", "{identity}"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
        ),
        Step(
            "run",
            Text("Run", "Ejecute"),
            Text(
                """It makes `keys/` (root and older identities out of the vault, a new writer key and a new keeper key under that root), `safehold.toml` (as it was), and the core; it verifies the core, and puts it into place as the last step. It may be killed and run again. Read what it says about vaults:

- *the vault near was at …, which is not on this machine: it is … now*: the given vault took the place of the first sync vault.
- *nothing can be written to …*: the given folder is read-only; it was copied, and stays as it is.
- *the vault far is not at …*: bring its folder there, or make it anew (below).
- *how the log had ended is not known*: of a vault that is given by its place nobody knows whether it had everything. Until you accept that, or each person does on `/devices`, no device is given a list: see [recover](recover.md).
- *stands in the configuration as a comment*: a further sync vault that is not here.

*The signing root does not travel in these vaults* means that it was moved offline by choice: bring its file as `keys/root.txt` in the data folder, and run again.""",
                """Hace `keys/` (la raíz y las identidades anteriores salen de la bóveda, más una clave de escritor y una de guardián nuevas bajo esa raíz), `safehold.toml` (como era) y el núcleo; verifica el núcleo, y ponerlo en su lugar es el último paso. Puede matarse y ejecutarse otra vez. Lea lo que dice de las bóvedas:

- *the vault near was at …, which is not on this machine: it is … now*: la bóveda dada ocupó el lugar de la primera bóveda síncrona.
- *nothing can be written to …*: la carpeta dada es de solo lectura; se copió, y se queda como está.
- *the vault far is not at …*: traiga ahí su carpeta, o hágala de nuevo (abajo).
- *how the log had ended is not known*: de una bóveda dada por su lugar nadie sabe si lo tenía todo. Hasta que lo acepte usted, o cada persona en `/devices`, a ningún dispositivo se le da una lista: vea [recover](recover.md).
- *stands in the configuration as a comment*: una bóveda síncrona más que no está aquí.

*The signing root does not travel in these vaults* significa que se llevó fuera de línea a propósito: traiga su fichero como `keys/root.txt` en la carpeta de datos, y ejecute otra vez.""",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes", "--vault", "{url}", "--identity", "{identity}"),
            changes=Text(
                "keys, configuration and core are made in the data folder",
                "se hacen claves, configuración y núcleo en la carpeta de datos",
            ),
        ),
        loss_accepted(
            Text(
                "From then on devices take the server's list for the whole. Look for another vault first: afterwards nobody asks for it any more.",
                "Desde entonces los dispositivos toman la lista del servidor por completa. Busque antes otra bóveda: después ya nadie pregunta por ella.",
            ),
            _DOUBT,
        ),
        start(
            text=Text(
                "`safehold --data /srv/safehold serve`. Set `public_url` and `listen` in `safehold.toml` if the machine's address is another; let the old name point here, and devices find it with the passwords they have.",
                "`safehold --data /srv/safehold serve`. Ponga `public_url` y `listen` en `safehold.toml` si la dirección de la máquina es otra; haga que el nombre viejo apunte aquí, y los dispositivos lo encuentran con las contraseñas que tienen.",
            )
        ),
        made_anew(
            "{missing}",
            Text("Have two vaults again", "Vuelva a tener dos bóvedas"),
            Text(
                "It makes a vault anew that is configured and missing.",
                "Hace de nuevo una bóveda que está configurada y falta.",
            ),
            _SECOND,
            name="second-vault",
        ),
        Step(
            "unmet",
            Text("Look at what is unmet", "Mire qué queda pendiente"),
            Text(
                "`safehold status --check` ends with 1 while anything is, and names it.",
                "`safehold status --check` termina con 1 mientras quede algo, y lo nombra.",
            ),
            Gives((0, 1)),
            ("status", "--check"),
        ),
        new_writer(
            Text(
                "The old machine's keys are in other hands, too.",
                "Las claves de la máquina vieja también están en otras manos.",
            ),
            _STOLEN,
        ),
        new_identity(
            Text(
                "What was sealed before can still be read by whoever has an old vault and the old key: nothing undoes that.",
                "Lo sellado antes aún puede leerlo quien tenga una bóveda vieja y la clave vieja: nada deshace eso.",
            ),
            _STOLEN,
        ),
    ),
    more=(
        Section(
            Text("Where you want the vaults otherwise", "Si quiere las bóvedas de otro modo"),
            Text(
                """Put a `safehold.toml` into the data folder before the run: it stays as it is. For instance

```toml
[vaults.near]
url = "folder:/mnt/usb/near"
mode = "sync"
```""",
                """Ponga un `safehold.toml` en la carpeta de datos antes de ejecutar: se queda como está. Por ejemplo

```toml
[vaults.near]
url = "folder:/mnt/usb/near"
mode = "sync"
```""",
            ),
        ),
    ),
)
