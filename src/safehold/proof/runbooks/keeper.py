"""A vault is kept by another user or another machine."""

from __future__ import annotations

from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_KEYS = Case(
    "keys-elsewhere",
    Text(
        "the service is to write what it cannot read itself, so that the keys move to a medium",
        "el servicio ha de escribir lo que él mismo no puede leer, de modo que las claves pasan a un medio aparte",
    ),
)
_COPIES = Case(
    "copies",
    Text(
        "the keeper works on another machine, or as another user, and copies the service's vaults",
        "el guardián trabaja en otra máquina, o como otro usuario, y copia las bóvedas del servicio",
    ),
)

RUNBOOK = Runbook(
    name="keeper",
    title=Text("A keeper: as another user, or on another machine", "Un guardián: como otro usuario, o en otra máquina"),
    sort=Sort.MAINTENANCE,
    when=Text(
        "a vault is to be kept by another user or another machine, or a keeper does not run, refuses or differs. A keeper holds a vault that the service cannot harm, reads it whole every day, attests generations by replaying them, and removes what is older than the retention. Two ways lead there, and they can be combined.",
        "una bóveda ha de guardarla otro usuario u otra máquina, o un guardián no corre, se niega o difiere. Un guardián tiene una bóveda que el servicio no puede dañar, la lee entera cada día, da fe de las generaciones reproduciéndolas y elimina lo que es más viejo que la retención. Hay dos caminos, y pueden combinarse.",
    ),
    asked=(
        Asked(
            "medium",
            Text(
                "To which folder do the keys move? (a medium that is unplugged)",
                "¿A qué carpeta pasan las claves? (un medio que se desconecta)",
            ),
            "/media/keys",
        ),
        Asked(
            "folder",
            Text("In which folder does the keeper work?", "¿En qué carpeta trabaja el guardián?"),
            "/srv/keeper",
        ),
        Asked(
            "keys",
            Text("In which folder are the keys that it gets?", "¿En qué carpeta están las claves que recibe?"),
            "/media/keys",
        ),
        Asked(
            "pull",
            Text("Which vault does it copy from? (`folder:PATH`)", "¿De qué bóveda copia? (`folder:RUTA`)"),
            "folder:/mnt/service/near",
        ),
    ),
    steps=(
        Step(
            "snapshot",
            Text("Write a generation", "Escriba una generación"),
            Text(
                "On the service's machine, so that there is something to attest.",
                "En la máquina del servicio, para que haya algo de lo que dar fe.",
            ),
            Gives(expects=(Expect("sealed", Test.IS, True),)),
            ("snapshot",),
            changes=Text("a generation is added to the vaults", "se añade una generación a las bóvedas"),
            only=_COPIES,
        ),
        Step(
            "recovery-key",
            Text("Print the recovery key", "Imprima la clave de recuperación"),
            Text(
                "On the service's machine; keep it elsewhere. `--qr` prints it as a QR code too.",
                "En la máquina del servicio; guárdela en otro lugar. `--qr` la imprime también como código QR.",
            ),
            Gives(),
            ("vault", "keys", "recovery"),
            only=_COPIES,
        ),
        Step(
            "move-keys",
            Text("Move the keys away", "Lleve las claves a otro lugar"),
            Text(
                "On the service's machine, and optional: the service then writes what it cannot read, and a start after a power loss needs `safehold serve --identity FILE`.",
                "En la máquina del servicio, y opcional: el servicio escribe entonces lo que no puede leer, y un arranque tras un corte de corriente necesita `safehold serve --identity FILE`.",
            ),
            Gives(),
            ("vault", "keys", "move", "identity", "{medium}", "--yes"),
            changes=Text(
                "identities, recovery keys and the keeper's key leave the data folder",
                "las identidades, las claves de recuperación y la clave del guardián salen de la carpeta de datos",
            ),
            dangerous=True,
            only=_KEYS,
        ),
        Step(
            "init",
            Text("Make the keeper's folder", "Haga la carpeta del guardián"),
            Text(
                "On the keeper's machine, with that medium and a mount of the service's vault that is read-only at best.",
                "En la máquina del guardián, con ese medio y un montaje de la bóveda del servicio, a ser posible de solo lectura.",
            ),
            Gives(),
            ("keeper", "init", "{folder}", "--keys", "{keys}", "--pull", "{pull}"),
            changes=Text("a folder is made, with copies of the keys", "se hace una carpeta, con copias de las claves"),
            only=_COPIES,
        ),
        Step(
            "once",
            Text("Let it work once", "Hágalo trabajar una vez"),
            Text(
                "It writes nothing to what it copies from, and removes nothing because it was removed there. Then let it run as a service ([deploy.md](../deploy.md#systemd)).",
                "No escribe nada en aquello de lo que copia, y no elimina nada porque se haya eliminado allí. Luego hágalo correr como servicio ([deploy.md](../deploy.md#systemd)).",
            ),
            Gives((0,), (Expect("vaults.*.damaged", Test.EMPTY), Expect("vaults.*.trouble", Test.EMPTY))),
            ("keeper", "run", "--data", "{folder}", "--once"),
            changes=Text(
                "what is new is copied, and a generation is attested", "se copia lo nuevo, y se da fe de una generación"
            ),
            only=_COPIES,
        ),
        Step(
            "status",
            Text("See what it did", "Vea qué hizo"),
            Text(
                "It must have a date of today and no `blocked`.",
                "Debe tener fecha de hoy y ningún `blocked`.",
            ),
            Gives((0,), (Expect("at", Test.FILLED),)),
            ("keeper", "status", "--data", "{folder}"),
            only=_COPIES,
        ),
        Step(
            "hours",
            Text("The service's own keeper", "El guardián del propio servicio"),
            Text(
                "It has nothing to do then: set `hours = 0` in its section `[keeper]`. Without the keeper's key it could attest nothing anyway.",
                "Ya no tiene nada que hacer: ponga `hours = 0` en su sección `[keeper]`. Sin la clave del guardián tampoco podría dar fe de nada.",
            ),
            Asks(Text("Is it set as it should be?", "¿Está puesto como debe?")),
        ),
    ),
    more=(
        Section(
            Text(
                "As another user of the machine: it serves its vault",
                "Como otro usuario de la máquina: sirve su bóveda",
            ),
            Text(
                "As in [deploy.md](../deploy.md#a-vault-that-the-service-cannot-harm): `keeper init` with `--socket`, and `safehold vault add kept keeper:PATH` for the service. `safehold vault probe kept` as the service's user must say `enforced`. The service asks the keeper for each change where the vault is sync: if the keeper stops, changes wait (503). An async vault waits for nobody.",
                "Como en [deploy.md](../deploy.md#a-vault-that-the-service-cannot-harm): `keeper init` con `--socket`, y `safehold vault add kept keeper:PATH` para el servicio. `safehold vault probe kept` como el usuario del servicio debe decir `enforced`. El servicio pregunta al guardián por cada cambio si la bóveda es síncrona: si el guardián se para, los cambios esperan (503). Una bóveda asíncrona no espera a nadie.",
            ),
        ),
        Section(
            Text("When something is wrong", "Cuando algo va mal"),
            Text(
                """| it says | what to do |
| --- | --- |
| *another keeper works in this folder* | `keeper run` runs already; `--once`, `vault retain --yes` and `vault repair --yes` wait until it is stopped |
| *damaged* | stop it, `safehold vault repair --yes --data /srv/keeper`: whole copies come from the vaults that it pulls from, or from its other vaults; then start it |
| *cannot be reached* | the mount is away; it is tried again every half minute |
| the service does not start: *frames … cannot be read*, and no vault has them | somebody with the writer's key has appended what nobody can open. Change the writer's key (`safehold vault keys rotate writer --yes`), stop the keeper, look at `safehold keeper cut --data /srv/keeper`, then the same with `--yes`, start the keeper |
| the vault stays behind: *would make frame N of … void* | it took a frame that the writer gave up. Stop the keeper, `safehold keeper cut --from 7 --yes --data /srv/keeper` with that N, start it |
| *differs* | a vault of the service has other bytes than were copied before. Nothing was changed in the copy. Find out who wrote there: the copy is what counts |
| *not attested* | a generation is not what the log says. Nothing is removed on its word. `safehold snapshot --full` writes another one; if that is refused as well, the core is in doubt: `safehold recover plan` |
| *fewer than two generations are attested and whole* | nothing is removed before there are two: it becomes so by itself with the next snapshot |
| *sealed to a key that was not given* | the identity was replaced: copy the new `identity.txt` into the keeper's `keys/` |

A keeper's folder has no core: `status`, `snapshot` and `serve` are the service's. `scrub`, `vault repair`, `vault retain` and `keeper status` work in both.""",
                """| dice | qué hacer |
| --- | --- |
| *another keeper works in this folder* | `keeper run` ya corre; `--once`, `vault retain --yes` y `vault repair --yes` esperan a que se pare |
| *damaged* | párelo, `safehold vault repair --yes --data /srv/keeper`: las copias enteras vienen de las bóvedas de las que copia, o de sus otras bóvedas; luego inícielo |
| *cannot be reached* | el montaje está ausente; se intenta otra vez cada medio minuto |
| el servicio no arranca: *frames … cannot be read*, y ninguna bóveda los tiene | alguien con la clave del escritor ha añadido lo que nadie puede abrir. Cambie la clave del escritor (`safehold vault keys rotate writer --yes`), pare el guardián, mire `safehold keeper cut --data /srv/keeper`, luego lo mismo con `--yes`, inicie el guardián |
| la bóveda se queda atrás: *would make frame N of … void* | tomó un marco al que el escritor renunció. Pare el guardián, `safehold keeper cut --from 7 --yes --data /srv/keeper` con ese N, inícielo |
| *differs* | una bóveda del servicio tiene otros bytes que los copiados antes. En la copia no se cambió nada. Averigüe quién escribió ahí: la copia es lo que vale |
| *not attested* | una generación no es lo que dice el registro. Nada se elimina por su palabra. `safehold snapshot --full` escribe otra; si también se rechaza, el núcleo está en duda: `safehold recover plan` |
| *fewer than two generations are attested and whole* | no se elimina nada antes de que haya dos: llega solo con la siguiente instantánea |
| *sealed to a key that was not given* | se sustituyó la identidad: copie el nuevo `identity.txt` en `keys/` del guardián |

La carpeta de un guardián no tiene núcleo: `status`, `snapshot` y `serve` son del servicio. `scrub`, `vault repair`, `vault retain` y `keeper status` funcionan en ambos.""",
            ),
        ),
    ),
)
