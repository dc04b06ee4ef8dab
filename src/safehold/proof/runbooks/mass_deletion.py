"""Much has been deleted: by a device, by hand, or by a script."""

from __future__ import annotations

from safehold.proof.runbooks.common import ACCOUNT
from safehold.proof.runbooks.value import Asked, Asks, Case, Expect, Gives, Runbook, Section, Sort, Step, Test, Text

_DEVICE = Case(
    "device",
    Text(
        "a device did it that signs in with an app password",
        "lo hizo un dispositivo que entra con una contraseña de aplicación",
    ),
)
_ITEMS = Case("items", Text("items of an account are gone", "faltan elementos de una cuenta"))
_ACCOUNTS = Case("accounts", Text("a script has erased accounts", "un script ha borrado cuentas"))

RUNBOOK = Runbook(
    name="mass-deletion",
    title=Text(
        "Much has been deleted: by a device, by hand, or by a script",
        "Se ha borrado mucho: un dispositivo, una persona o un script",
    ),
    sort=Sort.CONTINGENCY,
    when=Text(
        "somebody's contacts, events or files are gone from all devices, a notice says that a device has deleted a great share of a collection, or a script has erased accounts. What was deleted is not lost: it is in the history for `history_days` (90).",
        "los contactos, citas o ficheros de alguien han desaparecido de todos los dispositivos, un aviso dice que un dispositivo ha borrado una gran parte de una colección, o un script ha borrado cuentas. Lo borrado no está perdido: queda en la historia durante `history_days` (90).",
    ),
    asked=(
        ACCOUNT,
        Asked(
            "label",
            Text("Which label has the device's password?", "¿Qué etiqueta tiene la contraseña del dispositivo?"),
            "phone",
        ),
        Asked(
            "path",
            Text("Which collection? (as contacts/default)", "¿Qué colección? (como contacts/default)"),
            "contacts/default",
        ),
        Asked("point", Text("Back to which point, or time?", "¿A qué punto, u hora, hay que volver?"), "contacts:120"),
        Asked(
            "erased",
            Text("Which account is to be given back? (its name)", "¿Qué cuenta hay que devolver? (su nombre)"),
            "bjorn",
        ),
    ),
    steps=(
        Step(
            "devices",
            Text("Find the device", "Encuentre el dispositivo"),
            Text(
                "It will do again what it has done. `/devices` locks it out, or the next step.",
                "Volverá a hacer lo que ha hecho. `/devices` le cierra el paso, o el paso siguiente.",
            ),
            Gives(),
            ("account", "app-password", "{account}", "--list"),
            only=_DEVICE,
        ),
        Step(
            "revoke",
            Text("Stop the device", "Pare el dispositivo"),
            Text(
                "Its password is useless at once, also where it is signed in.",
                "Su contraseña deja de servir en el acto, también donde ya ha entrado.",
            ),
            Gives(),
            ("account", "app-password", "{account}", "--revoke", "{label}"),
            changes=Text("this device cannot sign in any more", "este dispositivo ya no puede entrar"),
            dangerous=True,
            only=_DEVICE,
        ),
        Step(
            "history",
            Text("See what it did", "Vea qué hizo"),
            Text(
                "The person finds it under `/history` and, where it was a great share (25 % of 20 or more items within an hour), as a notice on their page, which leads to the way back. The `change` column names each change. The point before it is the one before: before `contacts:121` it was as after `contacts:120`. `safehold history ada --removed` tells of collections that were removed as a whole, with the point before.",
                "La persona lo encuentra en `/history` y, si fue una gran parte (el 25 % de 20 o más elementos en una hora), como aviso en su página, que lleva al camino de vuelta. La columna `change` nombra cada cambio. El punto anterior a uno es el de antes: antes de `contacts:121` estaba como después de `contacts:120`. `safehold history ada --removed` dice qué colecciones se eliminaron enteras, con el punto anterior.",
            ),
            Gives((0,), (Expect("history", Test.FILLED),)),
            ("history", "{account}", "--path", "{path}"),
            only=_ITEMS,
        ),
        Step(
            "dry-run",
            Text("See what would come back", "Vea qué volvería"),
            Text(
                "What is told as `left` cannot come back because another item bears its UID now: move that one away first, or look at the old one with `safehold history ada --body contacts:12 --output old.vcf`.",
                "Lo que aparece como `left` no puede volver porque otro elemento lleva ahora su UID: aparte ese antes, o mire el viejo con `safehold history ada --body contacts:12 --output old.vcf`.",
            ),
            Gives((0,), (Expect("added", Test.FILLED),)),
            ("undo", "{account}", "--path", "{path}", "--below", "--deleted", "--to", "{point}", "--dry-run"),
            only=_ITEMS,
        ),
        Step(
            "undo",
            Text("Bring back what was deleted, and nothing else", "Devuelva lo borrado, y nada más"),
            Text(
                "What was added or changed since stays. Devices get it back with their next sync; their sync tokens stay good. Nothing has to be reset.",
                "Lo que se añadió o cambió desde entonces se queda. Los dispositivos lo reciben con su siguiente sincronización; sus testigos siguen siendo buenos. No hay que restablecer nada.",
            ),
            Gives((0,), (Expect("added", Test.FILLED),)),
            ("undo", "{account}", "--path", "{path}", "--below", "--deleted", "--to", "{point}"),
            changes=Text(
                "what was deleted is there again, by new changes", "lo borrado está otra vez, con cambios nuevos"
            ),
            only=_ITEMS,
        ),
        Step(
            "script",
            Text("Stop the script", "Pare el script"),
            Text(
                "Within an hour three accounts are erased (`[brakes] erasures`); those beyond are locked, and erased after seven days.",
                "En una hora se borran tres cuentas (`[brakes] erasures`); las que pasan de ahí se bloquean, y se borran a los siete días.",
            ),
            Asks(
                Text(
                    "Is the script stopped, and its access taken away?",
                    "¿Está parado el script, y se le ha quitado el acceso?",
                )
            ),
            only=_ACCOUNTS,
        ),
        Step(
            "accounts",
            Text("See which accounts can be given back", "Vea qué cuentas pueden devolverse"),
            Text('They are listed as "to be erased".', "Aparecen como «to be erased»."),
            Gives((0,), (Expect("accounts", Test.FILLED),)),
            ("account", "list"),
            only=_ACCOUNTS,
        ),
        Step(
            "restore",
            Text("Give an account back", "Devuelva una cuenta"),
            Text(
                "For each: it is as it was. The few that were erased at once are in the register of erased accounts, which every recovery honours: nothing brings them back ([erasure](erasure.md)).",
                "Una por una: queda como era. Las pocas que se borraron en el acto están en el registro de cuentas borradas, que toda recuperación respeta: nada las trae de vuelta ([erasure](erasure.md)).",
            ),
            Gives(),
            ("account", "restore", "{erased}"),
            changes=Text(
                "the account is not erased, and its devices are served again",
                "la cuenta no se borra, y sus dispositivos vuelven a ser atendidos",
            ),
            only=_ACCOUNTS,
        ),
        Step(
            "told",
            Text("Ask the person", "Pregunte a la persona"),
            Text("They look at a device, or at their page.", "Mira en un dispositivo, o en su página."),
            Asks(Text("Is everything there that they miss?", "¿Está todo lo que echaba en falta?")),
        ),
    ),
    more=(
        Section(
            Text("Or go back altogether", "O volver atrás del todo"),
            Text(
                """    safehold undo ada --kind contacts --to '2026-11-20T08:30Z' --dry-run

Without `--deleted` what came since goes, too. A great share of a collection goes only with `--yes`. The answer names the point that undoes the undo (`before`). A time before the history that is kept is refused, and the answer says since when it is known.""",
                """    safehold undo ada --kind contacts --to '2026-11-20T08:30Z' --dry-run

Sin `--deleted` se va también lo que vino después. Una gran parte de una colección solo se va con `--yes`. La respuesta nombra el punto que deshace lo deshecho (`before`). Una hora anterior a la historia que se conserva se rechaza, y la respuesta dice desde cuándo se conoce.""",
            ),
        ),
    ),
)
