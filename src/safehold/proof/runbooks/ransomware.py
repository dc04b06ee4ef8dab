"""Somebody has encrypted, overwritten or removed the core and what lay beside it."""

from __future__ import annotations

from safehold.proof.runbooks.common import (
    checked,
    loss_accepted,
    made_anew,
    new_identity,
    new_writer,
    scrubbed,
    snapshotted,
    start,
)
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_DOUBT = Case(
    "no-other-vault",
    Text(
        "it said *how the log had ended is not known*, or something is lost, and no other vault, disk or copy is left to look into",
        "dijo *how the log had ended is not known*, o se perdió algo, y no queda otra bóveda, disco o copia donde mirar",
    ),
)

RUNBOOK = Runbook(
    name="ransomware",
    title=Text(
        "Ransomware: the core, and a vault beside it, are encrypted or overwritten",
        "Secuestro de datos: el núcleo, y una bóveda junto a él, están cifrados o sobrescritos",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "files of the data folder are unreadable, renamed or bear a demand, many objects of a vault are `corrupt` at once, or somebody unknown was on the machine. A vault that this machine's user cannot harm (a keeper's, another machine's, an unplugged disk) is whole: everything comes back from it. Do not pay, and do not hurry: devices that get no answer keep what they have.",
        "los ficheros de la carpeta de datos son ilegibles, tienen otro nombre o traen una exigencia, muchos objetos de una bóveda están `corrupt` a la vez, o alguien desconocido estuvo en la máquina. Una bóveda que el usuario de esta máquina no puede dañar (la de un guardián, la de otra máquina, un disco desconectado) está entera: todo vuelve desde ella. No pague, y no se apresure: los dispositivos que no reciben respuesta conservan lo que tienen.",
    ),
    asked=(
        Asked("vault", Text("Which vault is whole? (its name)", "¿Qué bóveda está entera? (su nombre)"), "far"),
        Asked(
            "bad", Text("Which vault was overwritten? (its name)", "¿Qué bóveda fue sobrescrita? (su nombre)"), "near"
        ),
    ),
    steps=(
        Step(
            "cut-off",
            Text("Cut the machine off", "Aísle la máquina"),
            Text(
                "Unplug the network and every vault that is still whole. End the service (`systemctl stop safehold`). Leave the machine as it is for whoever looks into it; copy its disk if somebody will.",
                "Desconecte la red y toda bóveda que aún esté entera. Termine el servicio (`systemctl stop safehold`). Deje la máquina como está para quien la investigue; copie su disco si alguien va a hacerlo.",
            ),
            Asks(
                Text(
                    "Is the machine cut off, and the service ended?",
                    "¿Está aislada la máquina, y terminado el servicio?",
                )
            ),
            changes=Text("nobody is served", "no se atiende a nadie"),
        ),
        Step(
            "clean",
            Text("Go on where nobody else is", "Siga donde no haya nadie más"),
            Text(
                "On another machine, or on this one installed anew, with a copy of the data folder and the whole vault, mounted read-only if it can be. If `keys/` or `safehold.toml` is overwritten as well, all that counts is the vault and the printed recovery key: go on with [bare-machine](bare-machine.md).",
                "En otra máquina, o en esta instalada de nuevo, con una copia de la carpeta de datos y la bóveda entera, montada de solo lectura si se puede. Si `keys/` o `safehold.toml` también están sobrescritos, solo cuentan la bóveda y la clave de recuperación impresa: siga con [bare-machine](bare-machine.md).",
            ),
            Asks(
                Text(
                    "Are you on a machine that nobody else controls, with the vault at hand?",
                    "¿Está en una máquina que nadie más controla, con la bóveda a mano?",
                )
            ),
        ),
        Step(
            "scrub",
            Text("See which vaults are whole", "Vea qué bóvedas están enteras"),
            Text(
                "Every byte of the vault is read. It must be whole: exit code 0. Try another one where it is not; where none is, go on with [both-lost](both-lost.md).",
                "Se lee cada byte de la bóveda. Debe estar entera: código 0. Pruebe otra si no lo está; si ninguna lo está, siga con [both-lost](both-lost.md).",
            ),
            Gives((0,), (Expect("ok", Test.IS, True),)),
            ("vault", "scrub", "{vault}"),
        ),
        Step(
            "aside",
            Text("Put aside what was overwritten", "Aparte lo sobrescrito"),
            Text(
                "Move the folder `core/` and the folder of the overwritten vault (`vaults/near`) out of the data folder, and keep them: what can still be read in them may be salvaged later ([both-lost](both-lost.md)). Remove nothing.",
                "Mueva la carpeta `core/` y la carpeta de la bóveda sobrescrita (`vaults/near`) fuera de la carpeta de datos, y consérvelas: lo que aún se pueda leer en ellas puede rescatarse después ([both-lost](both-lost.md)). No elimine nada.",
            ),
            Gives(
                (0,),
                (
                    Expect("vaults.name={bad}.state", Test.IS, "missing"),
                    Expect("incidents.what=core missing.what", Test.FILLED),
                ),
                ("status",),
            ),
            changes=Text("the overwritten files lie elsewhere", "los ficheros sobrescritos están en otro lugar"),
        ),
        Step(
            "plan",
            Text("Look at what comes back", "Mire qué vuelve"),
            Text(
                "It writes nothing but its plan file; [recover](recover.md) says how to read it. What an attacker did through the service, as a person or a device would, is in the vault as well: it is history, and is undone afterwards ([mass-deletion](mass-deletion.md)). Where a vault knows since when somebody had the keys, the plan says from which moment and frame on its log is suspect.",
                "No escribe más que su fichero de plan; [recover](recover.md) dice cómo leerlo. Lo que un atacante hizo a través del servicio, como lo haría una persona o un dispositivo, también está en la bóveda: es historia, y se deshace después ([mass-deletion](mass-deletion.md)). Si una bóveda sabe desde cuándo alguien tenía las claves, el plan dice a partir de qué momento y marco es sospechoso su registro.",
            ),
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
        ),
        Step(
            "run",
            Text("Run", "Ejecute"),
            Text(
                "It may be killed and run again. Whatever still writes with the old timeline is refused from now on.",
                "Puede matarse y ejecutarse otra vez. Lo que aún escriba con la línea temporal vieja es rechazado desde ahora.",
            ),
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes"),
            changes=Text("a new core is put into place", "se pone un núcleo nuevo en su lugar"),
        ),
        made_anew(
            "{bad}",
            Text("Make the overwritten vault anew", "Haga de nuevo la bóveda sobrescrita"),
            Text(
                "From what was recovered and the whole vault, at the URL that is configured.",
                "A partir de lo recuperado y de la bóveda entera, en la URL configurada.",
            ),
            changes=Text("a vault is made, and filled", "se hace una bóveda, y se llena"),
        ),
        loss_accepted(
            Text(
                "An async vault may lack the last moments. Tell the people first: from then on devices take the server's list for the whole, and delete what only they still have. Or leave it to each person, on `/devices`.",
                "A una bóveda asíncrona pueden faltarle los últimos instantes. Avise antes a las personas: desde entonces los dispositivos toman la lista del servidor por completa, y borran lo que solo ellos tienen aún. O déjelo a cada persona, en `/devices`.",
            ),
            _DOUBT,
        ),
        new_writer(
            Text("Whoever was on the machine has the old one.", "Quien estuvo en la máquina tiene la vieja."),
        ),
        new_identity(
            Text(
                "What was sealed before can still be read by whoever took a copy of a vault and the old key: nothing undoes that. Passwords are stored as hashes that are slow to guess; have people choose new ones all the same, and revoke app passwords that nobody knows.",
                "Lo sellado antes aún puede leerlo quien se llevó una copia de una bóveda y la clave vieja: nada deshace eso. Las contraseñas se guardan como resúmenes lentos de adivinar; aun así, haga que las personas elijan otras, y revoque las contraseñas de aplicación que nadie conozca.",
            ),
        ),
        snapshotted(),
        scrubbed("scrubbed"),
        start(),
        checked(),
        Step(
            "afterwards",
            Text("Let it not happen again", "Que no vuelva a pasar"),
            Text(
                "Have one vault that this machine's user can only append to: a keeper as another user, or on another machine ([keeper](keeper.md)); `safehold vault probe` must say `enforced`.",
                "Tenga una bóveda a la que el usuario de esta máquina solo pueda añadir: un guardián como otro usuario, o en otra máquina ([keeper](keeper.md)); `safehold vault probe` debe decir `enforced`.",
            ),
            Asks(
                Text(
                    "Is there such a vault, or is it noted to be made?", "¿Hay una bóveda así, o está anotado hacerla?"
                )
            ),
        ),
    ),
    more=(
        Section(
            Text(
                "If only some bodies were changed through the service",
                "Si solo se cambiaron algunos cuerpos a través del servicio",
            ),
            Text(
                "Something that ran on a person's computer has overwritten notes or photos there, and a sync has carried that here. Then neither core nor vault is damaged: stop the device and bring the collection back ([mass-deletion](mass-deletion.md)), without `--deleted`.",
                "Algo que corría en el ordenador de una persona sobrescribió allí notas o fotos, y una sincronización lo trajo aquí. Entonces ni el núcleo ni la bóveda están dañados: pare el dispositivo y devuelva la colección ([mass-deletion](mass-deletion.md)), sin `--deleted`.",
            ),
        ),
    ),
)
