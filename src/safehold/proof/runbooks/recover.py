"""The core is lost."""

from __future__ import annotations

from safehold.proof.runbooks.common import checked, start, stop
from safehold.proof.runbooks.value import Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

ITSELF = Case(
    "by-itself",
    Text(
        "the key lies beside the core, and the vault that answers wait for is mounted: the service recovers by itself",
        "la clave está junto al núcleo y la bóveda de la que dependen las respuestas está montada: el servicio se recupera solo",
    ),
)
BY_HAND = Case(
    "by-hand",
    Text(
        "the service has ended with exit code 3 and says why it does nothing, or you want to look before anything is done",
        "el servicio terminó con el código 3 y dice por qué no hace nada, o quiere mirar antes de que se haga algo",
    ),
)
LOST = Case(
    "something-lost",
    Text(
        "something is lost, and there is no other source left to try",
        "algo se ha perdido y no queda ninguna otra fuente que probar",
    ),
)

_PLAN = Text(
    """It reads and verifies everything and writes nothing but its plan file. It takes about as long as reading the vaults does. Read:

- **the core is** `missing` or `damaged`: one is built from the vaults. `behind`: it takes in what it lacks. `whole`: there is nothing to recover, whatever is wrong with the vaults; a vault with damage is mended ([damaged-vault](damaged-vault.md)). `partial`: an earlier run brought back a part; this one brings the rest. `of another history`: it went on from an earlier state than the vaults; it is moved aside and kept.
- **exact, older, lost**: by kind. If all is exact, go on. Each missing revision counts as one lost item, and as one older item among those that lived before it, because it may have been either; named are those that some other source names.
- **unknown, at most … seconds**: what may have been acknowledged after the last frame that could be read. 0 where a sync vault was read to its end.
- **problems**: what was found wrong in which object of which vault. Where another vault has a good copy nothing is lost by it, and it is mended afterwards.
- **nothing is left of the log**: the newest generation is recovered whole, and what came after it is not known; look for another copy of a vault first. `serve` does not do that by itself. The log begins anew after the generation.
- **attested by nobody**: of these streams neither a keeper, nor an older generation, nor a seal of the log says how they end; they are taken on the word of whoever has the writer's key. If that key may have been stolen, look at them before you go on.
- **from …**: what streams are read from: a generation, the log after it, an older generation or the old core where those are damaged. The plan file says it for each stream.
- **stage**: in which order kinds come back, with items, bytes and seconds, and how these are reckoned.

The file begins with the same lines, for whoever has to approve it. Where the identity does not lie beside the core, or the folder `keys/` is gone, give the recovery key: `safehold recover plan --identity recovery.txt`.

If something is lost, look for more before you run: mount the other vaults, bring back a copy of a vault from elsewhere. A damaged core that can still be read partly is used by itself: what it remembers fills a gap wherever the chain of hashes proves it.""",
    """Lee y verifica todo y no escribe nada más que su fichero de plan. Tarda más o menos lo que se tarda en leer las bóvedas. Lea:

- **the core is** (el núcleo está) `missing` o `damaged`: se construye uno a partir de las bóvedas. `behind`: incorpora lo que le falta. `whole`: no hay nada que recuperar, por mal que estén las bóvedas; una bóveda dañada se repara ([damaged-vault](damaged-vault.md)). `partial`: una ejecución anterior trajo una parte; esta trae el resto. `of another history`: siguió desde un estado anterior al de las bóvedas; se aparta y se conserva.
- **exact, older, lost** (exacto, anterior, perdido): por tipo. Si todo es exacto, siga. Cada revisión que falta cuenta como un elemento perdido y como uno anterior entre los que vivían antes de ella, porque pudo ser cualquiera de los dos; se nombran los que alguna otra fuente nombra.
- **unknown, at most … seconds**: lo que pudo confirmarse después del último marco legible. 0 si una bóveda síncrona se leyó hasta el final.
- **problems**: qué se encontró mal en qué objeto de qué bóveda. Si otra bóveda tiene una copia buena no se pierde nada, y se repara después.
- **nothing is left of the log**: se recupera entera la generación más reciente, y no se sabe qué vino después; busque antes otra copia de una bóveda. `serve` no hace eso por sí solo. El registro empieza de nuevo tras la generación.
- **attested by nobody**: de estos flujos ni un guardián, ni una generación anterior, ni un sello del registro dice cómo terminan; se aceptan por la palabra de quien tenga la clave del escritor. Si esa clave pudo ser robada, mírelos antes de seguir.
- **from …**: de dónde se leen los flujos: una generación, el registro que la sigue, una generación anterior o el núcleo viejo si aquellas están dañadas. El fichero de plan lo dice de cada flujo.
- **stage**: en qué orden vuelven los tipos, con elementos, bytes y segundos, y cómo se calculan.

El fichero empieza con las mismas líneas, para quien tenga que aprobarlo. Si la identidad no está junto al núcleo, o la carpeta `keys/` ya no está, dé la clave de recuperación: `safehold recover plan --identity recovery.txt`.

Si algo se ha perdido, busque más antes de ejecutar: monte las otras bóvedas, traiga de otro lugar una copia de una bóveda. Un núcleo dañado que aún se lee en parte se usa por sí mismo: lo que recuerda llena un hueco siempre que la cadena de resúmenes lo demuestre.""",
)

_RUN = Text(
    """It

1. claims a new timeline, so that an old core that still runs somewhere is refused from now on;
2. enters every change, verbatim and verified, into a new core in `scratch/recovery/`;
3. compares that core, row by row, with what went in and with the plan; fetches the large bodies;
4. moves the old core to `scratch/core-TIME/` and the new one into place.

It may be killed, or lose power, at any moment: run it again, and it goes on. Without a plan file it plans anew, and at a glance where there is no core; `safehold recover run recovery-plan.json` carries out the plan that was looked at. It refuses a plan whose vaults have changed since, and names the difference: plan again. It exits with 0 if all is exact, with 1 if anything is older or lost.

`--account NAME` and `--kind KIND` bring back a part first; what is left out answers 503 until a later run without them. `--to TIME` brings everything back and then undoes what came after that time, by new changes that can be undone in turn.""",
    """El comando

1. reclama una nueva línea temporal, para que un núcleo viejo que aún corra en algún sitio sea rechazado desde ahora;
2. introduce cada cambio, literal y verificado, en un núcleo nuevo en `scratch/recovery/`;
3. compara ese núcleo, fila por fila, con lo que entró y con el plan; trae los cuerpos grandes;
4. mueve el núcleo viejo a `scratch/core-HORA/` y pone el nuevo en su lugar.

Puede matarse, o quedarse sin corriente, en cualquier momento: ejecútelo otra vez y continúa. Sin fichero de plan planifica de nuevo, y de un vistazo si no hay núcleo; `safehold recover run recovery-plan.json` lleva a cabo el plan que se ha mirado. Rechaza un plan cuyas bóvedas han cambiado desde entonces y nombra la diferencia: planifique otra vez. Termina con 0 si todo es exacto, con 1 si algo es anterior o se ha perdido.

`--account NAME` y `--kind KIND` traen antes una parte; lo que queda fuera responde 503 hasta una ejecución posterior sin ellas. `--to TIME` trae todo y luego deshace lo que vino después de esa hora, con cambios nuevos que a su vez pueden deshacerse.""",
)

RUNBOOK = Runbook(
    name="recover",
    title=Text(
        "Recover: the core is lost, damaged or in doubt", "Recuperar: el núcleo se ha perdido, está dañado o en duda"
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "`serve` says that the core is missing or damaged, or a disk was replaced. With any one vault and the folder `keys/`, or the recovery key, everything that this vault holds comes back. On a machine on which nothing is left: [bare-machine](bare-machine.md). Nothing here removes anything: the core that is there is moved aside, and vaults are only ever added to.",
        "`serve` dice que falta el núcleo o que está dañado, o se ha sustituido un disco. Con una sola bóveda y la carpeta `keys/`, o la clave de recuperación, vuelve todo lo que esa bóveda contiene. En una máquina en la que no queda nada: [bare-machine](bare-machine.md). Nada de esto elimina nada: el núcleo que haya se aparta, y a las bóvedas solo se les añade.",
    ),
    steps=(
        Step(
            "by-itself",
            Text("Mostly: start the service", "Casi siempre: inicie el servicio"),
            Text(
                '`safehold serve` recovers by itself, while serving, where the core is missing, damaged or too old, the key lies beside it, and the vault that answers wait for is mounted. Devices are told to come again until what they ask for is back, which for the first takes about as long as a start; nothing that is not back looks absent. It may be stopped or killed and goes on at the next start. `safehold recover status --wait` shows how far it is; in the end the service\'s log and `safehold status` (`last_recovery`) say what is exact, older and lost.\n\nWhere it ends with exit code 3 instead, it says what it found, why it does nothing, and what to do: go on by hand. To look before anything is done, set `start = "ask"` in the section `[recovery]` of `safehold.toml`.',
                '`safehold serve` se recupera por sí solo, mientras sirve, si el núcleo falta, está dañado o es demasiado viejo, la clave está junto a él y la bóveda de la que dependen las respuestas está montada. A los dispositivos se les dice que vuelvan hasta que esté lo que piden, lo que para el primero tarda más o menos como un arranque; nada que no haya vuelto parece ausente. Puede pararse o matarse y continúa en el siguiente arranque. `safehold recover status --wait` muestra hasta dónde ha llegado; al final el registro del servicio y `safehold status` (`last_recovery`) dicen qué es exacto, anterior o perdido.\n\nSi en cambio termina con el código 3, dice qué encontró, por qué no hace nada y qué hacer: siga a mano. Para mirar antes de que se haga nada, ponga `start = "ask"` en la sección `[recovery]` de `safehold.toml`.',
            ),
            Gives(expects=(Expect("service", Test.IS, "serving"), Expect("recovery", Test.EMPTY)), command=("status",)),
            changes=Text(
                "a new core is built; the old one is kept in `scratch/`",
                "se construye un núcleo nuevo; el viejo se conserva en `scratch/`",
            ),
            only=ITSELF,
        ),
        Step(
            "stop",
            Text("Stop writing", "Deje de escribir"),
            Text(
                'Stop the service. If the machine may be compromised or its disk is failing, do not start it there again: go on, on another machine, with `--vault` and `--identity`. Do not delete, move or "clean up" `core/` or any vault.',
                "Pare el servicio. Si la máquina puede estar comprometida o su disco falla, no vuelva a iniciarlo ahí: siga en otra máquina, con `--vault` y `--identity`. No borre, mueva ni «limpie» `core/` ni ninguna bóveda.",
            ),
            stop().check,
            only=BY_HAND,
        ),
        Step(
            "plan",
            Text("Look", "Mire"),
            _PLAN,
            Gives((0, 1), (Expect("changes_expected", Test.LEAST, 1),)),
            ("recover", "plan"),
            changes=Text("it writes `recovery-plan.json`", "escribe `recovery-plan.json`"),
            only=BY_HAND,
        ),
        Step(
            "run",
            Text("Run", "Ejecute"),
            _RUN,
            Gives((0, 1), (Expect("changes_recovered", Test.LEAST, 1),)),
            ("recover", "run", "--yes"),
            changes=Text(
                "a new core is put into place; the old one lies in `scratch/`; the vaults get a new timeline",
                "se pone un núcleo nuevo en su lugar; el viejo queda en `scratch/`; las bóvedas reciben una línea temporal nueva",
            ),
            dangerous=True,
            only=BY_HAND,
        ),
        Step(
            "accept-loss",
            Text("Say that what is lost is gone", "Diga que lo perdido ya no está"),
            Text(
                "A stream from which revisions are missing is *held*: its account's devices get 503 and keep what they have. So there is time. Other sources can be tried with another plan and run. When there is nothing left to try, say so, with the service stopped, and the rest of the stream is served again.\n\nThe report names the losses, and a change in each of these streams puts on record that they were accepted: a keeper attests what comes after it. Tell the people they belong to: their devices may still have the items, and a PUT brings them back.",
                "Un flujo al que le faltan revisiones queda *retenido*: los dispositivos de su cuenta reciben 503 y conservan lo que tienen. Así que hay tiempo. Pueden probarse otras fuentes con otro plan y otra ejecución. Cuando no quede nada por probar, dígalo, con el servicio parado, y el resto del flujo se vuelve a servir.\n\nEl informe nombra las pérdidas, y un cambio en cada uno de estos flujos deja constancia de que se aceptaron: un guardián da fe de lo que venga después. Avise a las personas a quienes pertenecen: sus dispositivos quizá aún tengan los elementos, y un PUT los trae de vuelta.",
            ),
            Gives((0, 1)),
            ("recover", "run", "--yes", "--accept-loss"),
            changes=Text(
                "streams that were held are served again, without what is lost",
                "los flujos retenidos se vuelven a servir, sin lo perdido",
            ),
            dangerous=True,
            only=LOST,
        ),
        start(BY_HAND),
        Step(
            "report",
            Text("Read what came back", "Lea lo que ha vuelto"),
            Text(
                "By account and kind: exact, older and lost, each loss by name where anybody knows it. Exit code 1 means that something was older or lost.",
                "Por cuenta y tipo: exacto, anterior y perdido, cada pérdida por su nombre si alguien lo sabe. El código 1 significa que algo era anterior o se perdió.",
            ),
            Gives((0, 1), (Expect("timeline", Test.LEAST, 1),)),
            ("recover", "report"),
        ),
        checked(),
        Step(
            "afterwards",
            Text("Afterwards", "Después"),
            Text(
                "A vault in which something was found wrong is made anew from the others, where one of these is whole: move its folder away, keep it, and `safehold vault add NAME`. Keep `scratch/core-TIME/` until nobody misses anything; then remove it by hand. Where a key was on a machine that was lost, make new ones: `safehold vault keys rotate writer` and `safehold vault keys rotate identity` ([rotate-keys](rotate-keys.md)).",
                "Una bóveda en la que se encontró algo mal se hace de nuevo a partir de las otras, si una de ellas está entera: aparte su carpeta, consérvela, y `safehold vault add NAME`. Conserve `scratch/core-HORA/` hasta que nadie eche nada en falta; luego bórrelo a mano. Si había una clave en una máquina que se perdió, haga claves nuevas: `safehold vault keys rotate writer` y `safehold vault keys rotate identity` ([rotate-keys](rotate-keys.md)).",
            ),
            Asks(
                Text("Is everything noted that is to be done later?", "¿Está anotado todo lo que queda para después?")
            ),
        ),
    ),
    more=(
        Section(
            Text("If vaults and core are all damaged, or gone", "Si las bóvedas y el núcleo están dañados, o no están"),
            Text(
                """What is left of them is salvaged below their formats, change by change, and goes into the same plan; [both-lost](both-lost.md) is the way from the first step on.

    safehold salvage /mnt/old/core.db /mnt/usb/near-with-holes --out found
    safehold recover plan --salvage found

`--salvage` may be given several times, and takes what is not salvaged yet as well. A change comes back where the chain of hashes leads to it from what is known: each of which one good copy is left anywhere.

- **from salvage: …**: so many streams are put together with it. Streams that the vaults have whole are read from them alone.
- **belong to a history that was not gone on with**: two histories were found; that of the higher timeline counts from where they part, and the other is left out.
- **not everything could be verified**, beside *in the last … s*: without any vault nobody can say what was never found, and the exit code is 1 whatever came back. What a core's remains or a seal's copy remember of a stream's end is counted as lost where it is not there.
- whoever was erased stays erased, whichever of the sources knows it.

With no vault at all, a salvage is enough. In an empty data folder

    safehold --data /srv/safehold recover run --yes --salvage found --identity recovery.txt

makes vaults as a new installation does, takes the keys from the recovery key and what was found, and writes what came back into those vaults before it ends. Without `--identity` it makes new keys: print the new recovery key (`safehold vault keys recovery`). Where the data folder has its keys still and its vaults are gone for good, make these first: `safehold vault add near`, `safehold vault add far`; then run. Tokens and ETags stay what they were, so that devices go on.

Then what has no place in the chain is put back anew: changes on good pages, things out of exports, revisions whose loss was accepted before. Nothing that was deleted or replaced since comes back by it, and a second run puts nothing twice. Things of exports wait while the log's end is in doubt, and streams that are held wait until their loss is accepted: `--accept-loss`. *Not put back* names the rest with the reason: look at it, and import what a person knows to be theirs.

Make a snapshot afterwards (`safehold snapshot`): what filled a gap in the middle of a stream goes into the vaults with it.""",
                """Lo que queda de ellos se rescata por debajo de sus formatos, cambio a cambio, y entra en el mismo plan; [both-lost](both-lost.md) es el camino desde el primer paso.

    safehold salvage /mnt/old/core.db /mnt/usb/near-with-holes --out found
    safehold recover plan --salvage found

`--salvage` puede darse varias veces, y admite también lo que aún no se ha rescatado. Un cambio vuelve si la cadena de resúmenes lleva hasta él desde lo conocido: cada uno del que quede una copia buena en alguna parte.

- **from salvage: …**: tantos flujos se componen con ello. Los flujos que las bóvedas tienen enteros se leen solo de ellas.
- **belong to a history that was not gone on with**: se encontraron dos historias; vale la de la línea temporal más alta desde donde se separan, y la otra se deja fuera.
- **not everything could be verified**, junto a *in the last … s*: sin ninguna bóveda nadie puede decir qué no se encontró nunca, y el código de salida es 1 vuelva lo que vuelva. Lo que los restos de un núcleo o la copia de un sello recuerdan del final de un flujo se cuenta como perdido si no está.
- quien fue borrado sigue borrado, lo sepa la fuente que lo sepa.

Sin bóveda alguna basta un rescate. En una carpeta de datos vacía

    safehold --data /srv/safehold recover run --yes --salvage found --identity recovery.txt

hace bóvedas como una instalación nueva, toma las claves de la clave de recuperación y de lo encontrado, y escribe lo que volvió en esas bóvedas antes de terminar. Sin `--identity` hace claves nuevas: imprima la nueva clave de recuperación (`safehold vault keys recovery`). Si la carpeta de datos aún tiene sus claves y sus bóvedas se han perdido para siempre, haga antes estas: `safehold vault add near`, `safehold vault add far`; luego ejecute. Los testigos y los ETag siguen siendo los que eran, de modo que los dispositivos continúan.

Después se repone de nuevo lo que no tiene sitio en la cadena: cambios en páginas buenas, cosas de exportaciones, revisiones cuya pérdida se aceptó antes. Con ello no vuelve nada que se borrara o sustituyera desde entonces, y una segunda ejecución no pone nada dos veces. Las cosas de exportaciones esperan mientras el final del registro esté en duda, y los flujos retenidos esperan a que se acepte su pérdida: `--accept-loss`. *Not put back* nombra el resto con la razón: mírelo, e importe lo que una persona sepa que es suyo.

Haga después una instantánea (`safehold snapshot`): lo que llenó un hueco en medio de un flujo va con ella a las bóvedas.""",
            ),
        ),
        Section(
            Text("If a device has more than the server", "Si un dispositivo tiene más que el servidor"),
            Text(
                """Where the end of the log was lost, a phone may have seen changes that are nowhere else. Its next sync proves that, and `safehold status` has an incident *device ahead* that names account, collection and device. From then on nobody is given a list of that collection (503), so that no device deletes what only that one still has; devices that are level go on, and every new entry is taken.

1. Recover further, if any vault, old core or disk may hold more. Where that brings it back, all goes on by itself.
2. Else the person exports the collection on that device, then opens *Your data* (`/account/state`), which says how many changes are concerned, and says one of two words. *Keep what the device has*: it syncs again and removes nothing. *I accept that these are lost* (on `/devices`: *Go on without it*): it then takes the server's list for the whole.
3. What was exported is imported again: it is new to the server.""",
                """Si se perdió el final del registro, un teléfono puede haber visto cambios que no están en ningún otro sitio. Su siguiente sincronización lo demuestra, y `safehold status` tiene un incidente *device ahead* que nombra cuenta, colección y dispositivo. Desde entonces a nadie se le da una lista de esa colección (503), para que ningún dispositivo borre lo que solo aquel tiene aún; los dispositivos que están al día continúan, y se acepta cada entrada nueva.

1. Recupere más, si alguna bóveda, núcleo viejo o disco puede tener más. Si eso lo trae de vuelta, todo continúa solo.
2. Si no, la persona exporta la colección en ese dispositivo, luego abre *Sus datos* (`/account/state`), que dice a cuántos cambios afecta, y dice una de dos cosas. *Conservar lo que tiene el dispositivo*: vuelve a sincronizar y no elimina nada. *Acepto que se han perdido* (en `/devices`: *Seguir sin él*): entonces toma la lista del servidor por completa.
3. Lo exportado se importa otra vez: es nuevo para el servidor.""",
            ),
        ),
        Section(
            Text("If how the log had ended is not known", "Si no se sabe cómo había terminado el registro"),
            Text(
                """`recover run` says *how the log had ended is not known* where the core and every sync vault are gone, or the end of the log cannot be read: `unknown_seconds` bounds what may be missing, and `safehold status` has the incident *the end of the log is in doubt*. A device that only lists (vdirsyncer, Evolution, rclone, one that is set up anew) would delete what only it still has. So, in every account, until somebody says otherwise:

- whoever asks for a list, or for something that is not here, gets 503 and keeps what it has; a new device cannot be set up;
- a device that shows a good sync token goes on, what is here can be read, every write is taken.

1. Look for more: a sync vault that was only away, another async vault, an old disk. Do so before the service is started. A run that then reads further ends it by itself.
2. Tell the people: what they cannot do without they export from their devices first.
3. End it: for all, with the service stopped, by `safehold recover run --yes --accept-loss` (also when the core is whole), or each person for their account, on `/devices` or `/account/state`: *Go on without them*. From then on devices take the server's list for the whole. What a token proves to be lost still closes its collection, as above.""",
                """`recover run` dice *how the log had ended is not known* si el núcleo y todas las bóvedas síncronas se han perdido, o no se puede leer el final del registro: `unknown_seconds` limita lo que puede faltar, y `safehold status` tiene el incidente *the end of the log is in doubt*. Un dispositivo que solo lista (vdirsyncer, Evolution, rclone, uno que se configura de nuevo) borraría lo que solo él tiene aún. Por eso, en cada cuenta, hasta que alguien diga otra cosa:

- quien pide una lista, o algo que no está aquí, recibe 503 y conserva lo que tiene; no se puede configurar un dispositivo nuevo;
- un dispositivo que muestra un testigo de sincronización bueno continúa, lo que está aquí se puede leer, y se acepta cada escritura.

1. Busque más: una bóveda síncrona que solo estaba ausente, otra bóveda asíncrona, un disco viejo. Hágalo antes de iniciar el servicio. Una ejecución que entonces lea más lo termina por sí sola.
2. Avise a las personas: lo que no quieran perder lo exportan antes de sus dispositivos.
3. Termínelo: para todas, con el servicio parado, con `safehold recover run --yes --accept-loss` (también si el núcleo está entero), o cada persona para su cuenta, en `/devices` o `/account/state`: *Seguir sin ellos*. Desde entonces los dispositivos toman la lista del servidor por completa. Lo que un testigo demuestre perdido sigue cerrando su colección, como arriba.""",
            ),
        ),
        Section(
            Text(
                "If the installation's own key, or an account's name, is in no source",
                "Si la clave de la propia instalación, o el nombre de una cuenta, no está en ninguna fuente",
            ),
            Text(
                """The identity of the installation holds the key of its sync tokens, and the register of who was erased; that of an account its name and its passwords. They come back first of all. Where a run finds that key in no source it says *THE INSTALLATION'S OWN KEY IS LOST*, and the next start makes a new one, on record. It does so only where every configured vault could be read; else a start ends with *the identity of this installation itself … is lost*:

1. Bring back the vault that is away, or salvage an old core, and run again: nothing has been made meanwhile.
2. One that is gone for good: `safehold vault add NAME` makes it anew; then run again. Or say so for all at once: `safehold recover run --yes --accept-loss`.
3. Devices need do nothing. One whose sync token names what is here goes on; one that names what is not is told to come later, and is an incident *device ahead*, as above. Lists stay closed until the end of the log is accepted, as above, for what was known of it may have gone with the key.
4. Look through the accounts, and erase again who was erased before.
5. Accounts that `safehold account list` shows without a name cannot sign in. Accept the loss, see whose each is (`safehold history ID`), and give it its name and a password: `safehold account name ID NAME`. Never make a new account of that name: its devices would find it empty, and delete. `account add` refuses until all have one; one that nobody claims can be erased by its id.""",
                """La identidad de la instalación guarda la clave de sus testigos de sincronización y el registro de quién fue borrado; la de una cuenta, su nombre y sus contraseñas. Vuelven antes que todo lo demás. Si una ejecución no encuentra esa clave en ninguna fuente dice *THE INSTALLATION'S OWN KEY IS LOST*, y el siguiente inicio hace una nueva y lo deja anotado. Solo lo hace si se pudo leer cada bóveda configurada; si no, un inicio termina con *the identity of this installation itself … is lost*:

1. Traiga de vuelta la bóveda ausente, o rescate un núcleo viejo, y ejecute otra vez: entretanto no se ha hecho nada.
2. Si se ha perdido para siempre: `safehold vault add NAME` la hace de nuevo; luego ejecute otra vez. O dígalo para todas de una vez: `safehold recover run --yes --accept-loss`.
3. Los dispositivos no tienen que hacer nada. El que muestra un testigo de lo que está aquí continúa; al que muestra uno de lo que no está se le dice que vuelva más tarde, y es un incidente *device ahead*, como arriba. Las listas siguen cerradas hasta que se acepte el final del registro, como arriba, pues lo que se sabía de él puede haberse ido con la clave.
4. Repase las cuentas, y borre otra vez a quien fue borrado antes.
5. En las cuentas que `safehold account list` muestra sin nombre nadie puede entrar. Acepte la pérdida, vea de quién es cada una (`safehold history ID`), y dele su nombre y una contraseña: `safehold account name ID NAME`. No haga nunca una cuenta nueva con ese nombre: sus dispositivos la encontrarían vacía, y borrarían. `account add` se niega hasta que todas lo tengan; una que nadie reclame se puede borrar por su id.""",
            ),
        ),
    ),
)
