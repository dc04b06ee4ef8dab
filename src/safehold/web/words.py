"""What people read of state, recovery, incidents, notices and steps, in English and Spanish: all of it, in one place.

A language is chosen by `?lang=`, else by Accept-Language, else English. Each entry is a pair, so that neither
language lacks one; `{…}` are the values that the caller gives. An entry of a count has a second form under `KEY.one`.
Error bodies for programs (XML, JSON) are not among these: they stay as they are, in English.

Long, as it is a table of everything that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

LANGUAGES = ("en", "es")
DEFAULT = "en"
#: Narrow no-break space: sets thousands and units apart.
_THIN = "\u202f"
_MICROSECONDS = 1_000_000
_MAX_HEADER = 500

_WORDS: dict[str, tuple[str, str]] = {
    # -- the frame of a page
    "nav.status": ("Status", "Estado"),
    "nav.state": ("Your data", "Tus datos"),
    "nav.history": ("History", "Historial"),
    "nav.devices": ("Devices", "Dispositivos"),
    "nav.sign-in": ("Sign in", "Entrar"),
    "foot": (
        "Safehold keeps personal data for all your devices and proves that it can give it back.",
        "Safehold guarda datos personales para todos tus dispositivos y demuestra que puede devolverlos.",
    ),
    "other-language": ("Español", "English"),
    "nothing-deleted": (
        "Nothing has been deleted. Your devices keep what they have and will try again by themselves.",
        "No se ha borrado nada. Tus dispositivos conservan lo que tienen y lo volverán a intentar solos.",
    ),
    "as-of": ("As of {time} UTC.", "A las {time} UTC."),
    "as-of.old": (
        "If that is more than a few minutes ago, the server itself does not answer at this moment. Your devices keep "
        "what they have.",
        "Si de eso hace más de unos minutos, el propio servidor no responde ahora. Tus dispositivos conservan lo que "
        "tienen.",
    ),
    "ago": ("{time} ago", "hace {time}"),
    "unknown": ("unknown", "desconocido"),
    "never": ("never", "nunca"),
    "error.401": ("Sign in", "Entra"),
    "error.403": ("Not allowed", "No permitido"),
    "error.404": ("There is nothing here", "Aquí no hay nada"),
    "error.409": ("That does not fit", "Eso no encaja"),
    "error.429": ("Too many attempts", "Demasiados intentos"),
    "error.503": ("Not at this moment", "En este momento no"),
    "error.507": ("The server’s disk is full", "El disco del servidor está lleno"),
    # -- kinds
    "kind.identity": ("Sign-in and devices", "Acceso y dispositivos"),
    "kind.contacts": ("Contacts", "Contactos"),
    "kind.calendar": ("Calendar", "Calendario"),
    "kind.notes": ("Notes", "Notas"),
    "kind.tasks": ("Tasks", "Tareas"),
    "kind.photos": ("Photos", "Fotos"),
    "kind.scores": ("High scores", "Puntuaciones"),
    # -- the service
    "status.title": ("Status", "Estado"),
    "service.good": ("Everything answers.", "Todo responde."),
    "service.something": (
        "The service answers, and there is something you should know.",
        "El servicio responde, y hay algo que conviene saber.",
    ),
    "service.read-only": (
        "What is kept here can be read; changes cannot be taken at this moment.",
        "Lo guardado aquí se puede leer; en este momento no se pueden aceptar cambios.",
    ),
    "service.recovering": (
        "The service answers while it brings back what was lost here.",
        "El servicio responde mientras recupera lo que se perdió aquí.",
    ),
    "service.starting": ("The service is starting.", "El servicio está arrancando."),
    "service.stopping": ("The service is stopping.", "El servicio se está parando."),
    "service.stopped": ("The service is stopped.", "El servicio está parado."),
    "service.failed": ("The service has failed and is being looked at.", "El servicio ha fallado y se está revisando."),
    "service.other": ("The service is {state}.", "El servicio está en estado {state}."),
    # -- the status page
    "announcements": ("From whoever runs this service", "De quien lleva este servicio"),
    "until": ("Until {time} UTC.", "Hasta las {time} UTC."),
    "since": ("Since {time}.", "Desde {time}."),
    "promises": ("What we promise, and how it stands", "Lo que prometemos y cómo va"),
    "promise": ("Promise", "Promesa"),
    "target": ("Target", "Objetivo"),
    "measured": ("Measured", "Medido"),
    "state": ("State", "Estado"),
    "objective.rpo": ("At most this much may be lost", "Como mucho se puede perder esto"),
    "objective.rto": ("Everything is back within", "Todo vuelve en"),
    "objective.first_contact": ("The first contacts are back within", "Los primeros contactos vuelven en"),
    "objective.scrub": ("Every copy was read whole within", "Cada copia se leyó entera en"),
    "objective.replay": ("Every copy was replayed within", "Cada copia se reprodujo en"),
    "objective.drill": ("Recovery was rehearsed within", "La recuperación se ensayó en"),
    "objective.unknown": ("not known yet", "aún no se sabe"),
    "objective.met": ("met", "cumplido"),
    "objective.at risk": ("at risk", "en riesgo"),
    "objective.violated": ("violated", "incumplido"),
    "objective.not set": ("not set", "sin fijar"),
    "vaults": ("Vaults", "Copias"),
    "vault": ("Vault", "Copia"),
    "mode": ("Mode", "Modo"),
    "mode.sync": ("written first", "se escribe antes"),
    "mode.async": ("follows", "va detrás"),
    "behind": ("Changes behind", "Cambios de retraso"),
    "behind-by": ("Behind by", "Retraso"),
    "append-only": ("Append-only", "Solo añadir"),
    "append-only.enforced": ("enforced", "garantizado"),
    "append-only.by convention": ("by convention", "por convenio"),
    "seen": ("Last seen", "Vista"),
    "read-whole": ("Read whole", "Leída entera"),
    "damaged": ("{count} damaged", "{count} dañados"),
    "damaged.one": ("{count} damaged", "{count} dañado"),
    "kept": ("What is kept here", "Lo que se guarda aquí"),
    "kind": ("Kind", "Tipo"),
    "collection": ("Collection", "Colección"),
    "items": ("Items", "Elementos"),
    # -- a recovery
    "recovery.title": ("A recovery is under way", "Hay una recuperación en marcha"),
    "recovery.safe": (
        "Nothing has been deleted. Your devices keep what they have. Do not reset them, and do not remove the account "
        "from them.",
        "No se ha borrado nada. Tus dispositivos conservan lo que tienen. No los restablezcas ni quites la cuenta.",
    ),
    "recovery.stage": ("Now: {stage}.", "Ahora: {stage}."),
    "recovery.running-for": ("It has been running for {time}.", "Lleva {time}."),
    "recovery.forecast": (
        "Everything is expected back in about {time}.",
        "Se espera que todo esté de vuelta en unos {time}.",
    ),
    "recovery.no-forecast": ("How long it takes is not known yet.", "Aún no se sabe cuánto tardará."),
    "recovery.progress": ("Back", "De vuelta"),
    "recovery.failed": (
        "It has come to a halt and needs whoever runs this service.",
        "Se ha detenido y necesita a quien lleva este servicio.",
    ),
    "recovery.waiting": (
        "It cannot go on at this moment, and tries again by itself.",
        "Ahora mismo no puede seguir y lo volverá a intentar sola.",
    ),
    "recovery.asks": (
        "It waits for the word of whoever runs this service.",
        "Espera la orden de quien lleva este servicio.",
    ),
    "stage.identity": ("who may sign in", "quién puede entrar"),
    "stage.verify": ("checking all of it against the vaults", "comprobándolo todo con las copias"),
    "stage.blobs": ("large bodies", "los archivos grandes"),
    "stage.read": ("reading the vaults", "leyendo las copias"),
    "stage.done": ("done", "terminado"),
    # -- incidents, by `what`
    "incident.other": ("An incident is being looked into.", "Se está revisando una incidencia."),
    "incident.device ahead": ("A device has newer data than the server.", "Un dispositivo tiene datos más nuevos."),
    "incident.device ahead.step": (
        "Do not reset the device: what it holds can be recovered from.",
        "No restablezcas el dispositivo: de lo que tiene se puede recuperar.",
    ),
    "incident.vault missing": ("A vault is away.", "Falta una copia."),
    "incident.vault not answering": ("A vault is slow.", "Una copia va lenta."),
    "incident.vault damaged": ("Damage was found in a vault.", "Se han encontrado daños en una copia."),
    "incident.writing stopped": ("Changes cannot be taken.", "No se pueden aceptar cambios."),
    "incident.body mended": ("A damaged piece was mended from a vault.", "Una pieza dañada se ha reparado."),
    "incident.core renewed": (
        "The database was damaged and has been brought back from the vaults.",
        "La base de datos estaba dañada y se ha recuperado de las copias.",
    ),
    "incident.core damaged": (
        "A part of the server's data is being repaired. Nothing of it is lost.",
        "Se está reparando una parte de los datos del servidor. No se ha perdido nada.",
    ),
    "incident.core not renewed": (
        "The server's database is damaged and cannot be brought back at this moment.",
        "La base de datos del servidor está dañada y ahora mismo no se puede recuperar.",
    ),
    "incident.large body damaged": (
        "A large piece is damaged and is being looked for in the vaults.",
        "Una pieza grande está dañada y se busca en las copias.",
    ),
    "incident.large body mended": (
        "A damaged large piece was mended from a vault.",
        "Una pieza grande dañada se ha reparado.",
    ),
    "incident.no snapshot": ("A snapshot could not be taken.", "No se ha podido hacer una instantánea."),
    "incident.not attested": ("A snapshot could not be attested.", "No se ha podido certificar una instantánea."),
    "incident.guest closed": ("A guest of a vault server is let in no more.", "A un huésped ya no se le deja entrar."),
    "incident.forks refused": ("Somebody tries to harm a vault.", "Alguien intenta dañar una copia."),
    "incident.not kept": ("A vault could not be checked.", "No se ha podido revisar una copia."),
    "incident.no keeping": ("The vaults could not be checked.", "No se han podido revisar las copias."),
    "incident.not the same": (
        "A vault and the server do not agree.",
        "Una copia y el servidor no coinciden.",
    ),
    "incident.erasures put off": (
        "The operator has been asked to look at something.",
        "Quien lleva este servicio tiene algo que mirar.",
    ),
    "incident.mail": ("Mail cannot be sent.", "No se puede enviar correo."),
    "incident.status file": ("The published status is not fresh.", "El estado publicado no está al día."),
    "incident.brake": ("Much was deleted at once.", "Se ha borrado mucho de golpe."),
    # -- an account's own state
    "own.title": ("Your data", "Tus datos"),
    "own.all-well": (
        "All of your data is here, and every change is in the vaults before it is answered.",
        "Todos tus datos están aquí, y cada cambio está en las copias antes de darse por hecho.",
    ),
    "own.something": ("There is something you should know.", "Hay algo que debes saber."),
    "own.restoring": (
        "Your data is coming back. What is not here yet is not lost.",
        "Tus datos están volviendo. Lo que aún no está aquí no se ha perdido.",
    ),
    "own.by-kind": ("How each kind stands", "Cómo está cada tipo"),
    "own.what-to-do": ("What to do", "Qué hacer"),
    "own.notices": ("What happened", "Qué ha pasado"),
    "own.none": ("Nothing to tell.", "Nada que contar."),
    "own.feed": (
        "This page as a feed, for a feed reader. Whoever has this link can read it, but none of your data:",
        "Esta página como canal, para un lector de noticias. Quien tenga este enlace puede leerlo, pero nada de tus "
        "datos:",
    ),
    "own.feed-renewed": (
        "A new password of your account makes a new link.",
        "Una contraseña nueva de tu cuenta da un enlace nuevo.",
    ),
    "own.public": ("The state of the whole service", "El estado de todo el servicio"),
    "own.missing": ("Missing", "Falta"),
    "own.mail": ("We write to {address} about what matters.", "Escribimos a {address} sobre lo importante."),
    "own.no-mail": (
        "Leave an address, and you are told by mail when your data has to be recovered and when it is back.",
        "Deja una dirección y te avisaremos por correo cuando haya que recuperar tus datos y cuando estén de vuelta.",
    ),
    "own.mail-field": ("Mail address (empty: none)", "Correo electrónico (vacío: ninguno)"),
    "own.mail-set": ("Save", "Guardar"),
    "kind-state.whole": ("all here", "todo aquí"),
    "kind-state.restoring": ("being restored", "volviendo"),
    "kind-state.queued": ("waiting its turn", "en espera"),
    "kind-state.index": (
        "here; large bodies still come from the vaults",
        "aquí; lo grande aún llega de las copias",
    ),
    "kind-state.partial": ("not all of it is here", "no está todo"),
    "kind-state.lost": ("not found in any vault", "no está en ninguna copia"),
    "kind-state.held": ("cannot be read at this moment", "ahora mismo no se puede leer"),
    "kind-state.unknown": ("not known yet", "aún no se sabe"),
    "kind-state.doubt": ("the last changes may be missing", "pueden faltar los últimos cambios"),
    "kind-state.ahead": ("a device has newer data", "un dispositivo tiene datos más nuevos"),
    "own.intake": (
        "{count} changes of your devices wait to be entered; they are kept safe until then.",
        "{count} cambios de tus dispositivos esperan su turno; mientras tanto están a salvo.",
    ),
    "own.intake.one": (
        "{count} change of your devices waits to be entered; it is kept safe until then.",
        "{count} cambio de tus dispositivos espera su turno; mientras tanto está a salvo.",
    ),
    # -- steps
    "step.keep-devices": (
        "Do not reset your devices, and do not remove the account from them: they keep what they have.",
        "No restablezcas tus dispositivos ni quites la cuenta de ellos: conservan lo que tienen.",
    ),
    "step.wait": (
        "Wait: devices try again by themselves, and new changes are taken meanwhile.",
        "Espera: los dispositivos lo intentan solos, y mientras tanto se aceptan cambios nuevos.",
    ),
    "step.partial": (
        "Part of your {kind} is missing here. If a device still has it, export it there; then import it.",
        "Falta una parte de: {kind}. Si un dispositivo aún la tiene, expórtala allí y después impórtala.",
    ),
    "step.ahead-some": (
        "“{device}” has up to {count} newer changes in {collection}. Do not reset it.",
        "«{device}» tiene hasta {count} cambios más nuevos en {collection}. No lo restablezcas.",
    ),
    "step.ahead-some.one": (
        "“{device}” has {count} newer change in {collection}. Do not reset it.",
        "«{device}» tiene {count} cambio más nuevo en {collection}. No lo restablezcas.",
    ),
    "step.ahead-unknown": (
        "“{device}” has newer data in {collection}; how much cannot be told from here. Do not reset it.",
        "«{device}» tiene datos más nuevos en {collection}; cuántos no se puede saber desde aquí. No lo restablezcas.",
    ),
    "step.ahead-export": (
        "First export {collection} on that device to a file (a .vcf or .ics), and keep the file: no answer of a server "
        "makes a device send once more what it believes to be safe. After that choose below; then open the file on the "
        "device, or have whoever runs this service import it: what is in it comes here as new.",
        "Primero exporta {collection} en ese dispositivo a un archivo (.vcf o .ics) y guárdalo: ninguna respuesta del "
        "servidor hace que un dispositivo vuelva a enviar lo que cree a salvo. Después elige abajo; luego abre el "
        "archivo en el dispositivo, o que lo importe quien lleva este servicio: lo que contiene llega aquí como nuevo.",
    ),
    "ahead.keep": ("Keep what the device has", "Conservar lo que tiene el dispositivo"),
    "ahead.keep-means": (
        "It gets what is here and is told to delete nothing. What it alone has stays on it, and comes here with the "
        "file.",
        "Recibe lo que hay aquí y no se le manda borrar nada. Lo que solo él tiene se queda en él, y llega aquí con el "
        "archivo.",
    ),
    "ahead.accept": ("I accept that these are lost", "Acepto que esto se ha perdido"),
    "ahead.accept-means": (
        "It starts anew from what is here, and removes what it alone has.",
        "Empieza de nuevo con lo que hay aquí, y elimina lo que solo él tiene.",
    ),
    "ahead.closed": (
        "Until you choose, {collection} is not listed to any device, so that none removes what is missing here. What "
        "devices have stays on them, and their changes are taken.",
        "Hasta que elijas, {collection} no se muestra a ningún dispositivo, para que ninguno elimine lo que falta "
        "aquí. Lo que tienen se queda en ellos, y sus cambios se aceptan.",
    ),
    "ahead.gone-means": (
        "{collection} itself was lost with what is in it. It goes from the devices that have it: export it there "
        "first.",
        "{collection} se perdió con todo lo que contiene. Desaparece de los dispositivos que la tienen: antes "
        "expórtala en ellos.",
    ),
    "ahead.title": ("A device is ahead of the server", "Un dispositivo va por delante del servidor"),
    "end.title": ("The last changes may be missing", "Pueden faltar los últimos cambios"),
    "end.closed": (
        "Until you choose, no list is given to a device that asks for all there is, and nothing is told to be gone, so "
        "that none removes what is missing here. What devices have stays on them, and their changes are taken.",
        "Hasta que elijas, no se da la lista completa a ningún dispositivo ni se dice que algo no está, para que "
        "ninguno elimine lo que falta aquí. Lo que tienen se queda en ellos, y sus cambios se aceptan.",
    ),
    "step.end": (
        "The last changes before a loss may be missing here. Export on your devices what you cannot do without, ask "
        "whoever runs this service whether more can be recovered, and then choose on this page.",
        "Pueden faltar aquí los últimos cambios anteriores a una pérdida. Exporta en tus dispositivos lo "
        "imprescindible, pregunta a quien lleva este servicio si se puede recuperar más, y después elige en esta "
        "página.",
    ),
    "end.accept": ("Go on without them", "Seguir sin ellos"),
    "end.accept-means": (
        "Devices take what is here for the whole, and remove what they alone have.",
        "Los dispositivos toman lo que hay aquí por todo lo que existe, y eliminan lo que solo ellos tienen.",
    ),
    # -- notices, by `what`
    "notice.mass-delete": (
        "{count} items were deleted from {collection} at once by {device}. They are kept, and can be brought back.",
        "{device} ha borrado {count} elementos de {collection} de golpe. Se conservan y se pueden recuperar.",
    ),
    "notice.intake-dropped": (
        "{count} deletes that came during the recovery were not carried out in {collection}: what they were about had "
        "changed. Delete again what you do not want.",
        "No se han hecho {count} borrados de {collection} que llegaron durante la recuperación: lo que borraban había "
        "cambiado. Vuelve a borrar lo que no quieras.",
    ),
    "notice.intake-dropped.one": (
        "A delete that came during the recovery was not carried out in {collection}: what it was about had changed. "
        "Delete it again if you do not want it.",
        "No se ha hecho un borrado de {collection} que llegó durante la recuperación: lo que borraba había cambiado. "
        "Vuelve a borrarlo si no lo quieres.",
    ),
    "notice.intake-conflict": (
        "{count} items of {collection} were changed in two places during the recovery. The change that was made last "
        "stands; the other ones are in the history.",
        "{count} elementos de {collection} cambiaron en dos sitios durante la recuperación. Vale el último cambio; los "
        "otros están en el historial.",
    ),
    "notice.intake-conflict.one": (
        "An item of {collection} was changed in two places during the recovery. The change that was made last stands; "
        "the other one is in the history.",
        "Un elemento de {collection} cambió en dos sitios durante la recuperación. Vale el último cambio; el otro está "
        "en el historial.",
    ),
    "notice.intake-moved": (
        "{count} items that came during the recovery could not be put where they were sent. They are in {collection}.",
        "{count} elementos que llegaron durante la recuperación no cabían en su sitio. Están en {collection}.",
    ),
    "notice.intake-moved.one": (
        "An item that came during the recovery could not be put where it was sent. It is in {collection}.",
        "Un elemento que llegó durante la recuperación no cabía en su sitio. Está en {collection}.",
    ),
    "notice.intake-lost": (
        "{count} changes that came during the recovery cannot be read any more. Make them again.",
        "{count} cambios que llegaron durante la recuperación ya no se pueden leer. Vuelve a hacerlos.",
    ),
    "notice.intake-lost.one": (
        "A change that came during the recovery cannot be read any more. Make it again.",
        "Un cambio que llegó durante la recuperación ya no se puede leer. Vuelve a hacerlo.",
    ),
    "notice.restored": (
        "Your data was recovered: {exact} items exactly, {older} in an older state, {lost} lost.",
        "Tus datos se han recuperado: {exact} elementos tal cual, {older} en un estado anterior, {lost} perdidos.",
    ),
    "notice.device-ahead": (
        "{device} has newer data in {collection} than the server. Do not reset it.",
        "{device} tiene datos más nuevos en {collection} que el servidor. No lo restablezcas.",
    ),
    "notice.other": ("Something happened to your data: {what}.", "Ha pasado algo con tus datos: {what}."),
    "notice.names": ("It is about: {names}.", "Se trata de: {names}."),
    "notice.unknown-seconds": (
        "What was written in the last {time} before the loss is not known.",
        "No se sabe qué se escribió en los últimos {time} antes de la pérdida.",
    ),
    "notice.undo": ("See what can be brought back", "Ver qué se puede recuperar"),
    "notice.bring-back": ("Bring all of it back", "Recuperarlo todo"),
    "notice.history": ("See the history", "Ver el historial"),
    "notice.dismiss": ("I have read it", "Leído"),
    "somewhere": ("your data", "tus datos"),
    "some-device": ("a device", "un dispositivo"),
    # -- the after-report, as an account's owner reads it
    "report.title": ("The last recovery", "La última recuperación"),
    "report.exact": (
        "On {day} this service recovered its data. All of yours came back exactly.",
        "El {day} este servicio recuperó sus datos. Todos los tuyos volvieron tal cual.",
    ),
    "report.not-exact": (
        "On {day} this service recovered its data. Not all of yours came back as it was:",
        "El {day} este servicio recuperó sus datos. No todos los tuyos volvieron como estaban:",
    ),
    "report.col.exact": ("Exact", "Tal cual"),
    "report.col.older": ("Older", "Anterior"),
    "report.col.lost": ("Lost", "Perdido"),
    "report.lost": ("lost", "perdido"),
    "report.nameless": ("{count} items that nobody can name", "{count} elementos que nadie puede nombrar"),
    "report.nameless.one": ("an item that nobody can name", "un elemento que nadie puede nombrar"),
    "report.more": ("and {count} more", "y {count} más"),
    # -- ghosts
    "ghosts.title": ("Only the name is left", "Solo queda el nombre"),
    "ghosts.told": (
        "{count} items are known, and what was in them is in no source. They stay listed, so that a device that has "
        "one keeps it. Save it there once more, and it is whole again:",
        "Se conocen {count} elementos cuyo contenido no está en ninguna fuente. Siguen en la lista para que un "
        "dispositivo que tenga alguno lo conserve. Guárdalo allí otra vez y volverá a estar completo:",
    ),
    "ghosts.told.one": (
        "1 item is known, and what was in it is in no source. It stays listed, so that a device that has it keeps it. "
        "Save it there once more, and it is whole again:",
        "Se conoce 1 elemento cuyo contenido no está en ninguna fuente. Sigue en la lista para que un dispositivo que "
        "lo tenga lo conserve. Guárdalo allí otra vez y volverá a estar completo:",
    ),
    "ghosts.drop-means": (
        "Once no device has them: then they are deleted, on the devices too. History keeps their names.",
        "Cuando ningún dispositivo los tenga: entonces se borran, también en los dispositivos. El historial conserva "
        "sus nombres.",
    ),
    "ghosts.drop": ("These are gone: remove them from the list", "Se han perdido: quitarlos de la lista"),
    # -- mail
    "mail.greeting": ("Hello {name},", "Hola, {name}:"),
    "mail.recovery-began.subject": ("Your data is being recovered", "Estamos recuperando tus datos"),
    "mail.recovery-began": (
        "the service that keeps your data lost its database and is bringing everything back from its vaults. Nothing "
        "has been deleted. Do not reset your devices, and do not remove the account from them: they keep what they "
        "have and will try again by themselves.",
        "el servicio que guarda tus datos perdió su base de datos y lo está recuperando todo de sus copias. No se ha "
        "borrado nada. No restablezcas tus dispositivos ni quites la cuenta de ellos: conservan lo que tienen y lo "
        "volverán a intentar solos.",
    ),
    "mail.recovery-ended.subject": ("Your data is back", "Tus datos están de vuelta"),
    "mail.recovery-ended": (
        "the recovery has ended, and your data is back. Your page says how each kind stands.",
        "la recuperación ha terminado y tus datos están de vuelta. Tu página dice cómo está cada tipo.",
    ),
    "mail.restored.subject": ("Not all of your data came back", "No han vuelto todos tus datos"),
    "mail.mass-delete.subject": ("Much of your data was deleted at once", "Se han borrado muchos datos de golpe"),
    "mail.page": ("Your page: {url}", "Tu página: {url}"),
    "mail.why": (
        "You get this because this address stands in your account; you can remove it on that page.",
        "Recibes esto porque esta dirección está en tu cuenta; puedes quitarla en esa página.",
    ),
    # -- history and undo
    "past.history": ("History", "Historial"),
    "past.history-of": ("History of {what}", "Historial de {what}"),
    "past.lead": (
        "What happened to your data, the latest first. Nothing of it is changed by looking; everything can be {link}.",
        "Lo que ha pasado con tus datos, lo último primero. Mirarlo no cambia nada; todo se puede {link}.",
    ),
    "past.lead.link": ("brought back as it was", "recuperar como estaba"),
    "past.everything": ("Everything", "Todo"),
    "past.held": (
        "{kind}: cannot be looked at now, being restored.",
        "{kind}: ahora no se puede mirar, se está restaurando.",
    ),
    "past.none": ("Nothing has happened here yet.", "Aquí todavía no ha pasado nada."),
    "past.earlier": ("Earlier", "Anteriores"),
    "past.removed-collections": ("Collections that were removed", "Colecciones eliminadas"),
    "past.changes": ("Changes", "Cambios"),
    "past.what-would-come-back": ("see what would come back", "ver qué se recuperaría"),
    "past.by": ("by {who}", "por {who}"),
    "past.body": ("what was in it", "qué contenía"),
    "past.undo": ("undo", "deshacer"),
    "past.op.mkcol": ("collection made", "colección creada"),
    "past.op.setcol": ("collection changed", "colección cambiada"),
    "past.op.rmcol": ("collection removed", "colección eliminada"),
    "past.op.put": ("saved", "guardado"),
    "past.op.props": ("properties changed", "propiedades cambiadas"),
    "past.op.delete": ("deleted", "borrado"),
    "past.op.refused": ("refused, and kept here", "rechazado, y conservado aquí"),
    "past.op.gap": ("lost changes accepted", "cambios perdidos aceptados"),
    "past.actor.undo": ("an undo", "una marcha atrás"),
    "past.actor.operator": ("whoever runs this server", "quien lleva este servidor"),
    "past.actor.recovery": ("a recovery", "una recuperación"),
    "past.actor.import": ("an import", "una importación"),
    "past.actor.service": ("the server", "el servidor"),
    "past.as-it-was": ("As it was", "Como estaba"),
    "past.as-it-was.lead": (
        "See your data as it was at a time, and bring it back. First you are shown what would change; and whatever you "
        "do here can be undone.",
        "Mira tus datos como estaban en un momento, y recupéralos. Primero se te muestra qué cambiaría; y todo lo que "
        "hagas aquí se puede deshacer.",
    ),
    "past.when": ("When (UTC)", "Cuándo (UTC)"),
    "past.what": ("What", "Qué"),
    "past.all-collections": ("all collections", "todas las colecciones"),
    "past.only-deleted": (
        "Only bring back what was deleted since; leave the rest as it is",
        "Recuperar solo lo borrado desde entonces; dejar lo demás como está",
    ),
    "past.show": ("Show what would change", "Mostrar qué cambiaría"),
    "past.look": ("You do not know when? Look at what happened.", "¿No sabes cuándo? Mira lo que ha pasado."),
    "past.what-as-it-was": ("{what} as it was {when}", "{what} como estaba {when}"),
    "past.deleted-since": ("Deleted from {what}: as it was {when}", "Borrado de {what}: como estaba {when}"),
    "past.on": ("on {time} UTC", "el {time} UTC"),
    "past.before-change": ("before change {number} of {kind}", "antes del cambio {number} de {kind}"),
    "past.nothing-differs": ("Nothing differs from what was then.", "Nada es distinto de lo que había entonces."),
    "past.not-yet": ("Nothing has been changed yet.", "Todavía no se ha cambiado nada."),
    "past.goes-too": (
        "What goes here goes from your devices too. It stays in the history, and this can be undone.",
        "Lo que aquí se va, se va también de tus dispositivos. Queda en el historial, y esto se puede deshacer.",
    ),
    "past.do": ("Do this", "Hacerlo"),
    "past.action.added": ("Comes back", "Vuelve"),
    "past.action.changed": ("Becomes again what it was", "Vuelve a ser lo que era"),
    "past.action.removed": ("Goes", "Se va"),
    "past.action.left": (
        "Cannot come back, since another item bears its UID now",
        "No puede volver, porque otro elemento lleva ahora su UID",
    ),
    "past.collection": ("Collection", "Colección"),
    "past.item": ("Item", "Elemento"),
    "past.itself": ("the collection", "la colección"),
    "past.more": ("… and {count} more.", "… y {count} más."),
    "past.was-so": ("Nothing had to be changed", "No había nada que cambiar"),
    "past.was-so.lead": ("It was so already.", "Ya estaba así."),
    "past.done": ("Done", "Hecho"),
    "past.done.lead": (
        "{what}: as it was. Your devices follow when they sync next.",
        "{what}: como estaba. Tus dispositivos lo seguirán en su próxima sincronización.",
    ),
    "past.not-wanted": ("Not what you wanted?", "¿No es lo que querías?"),
    "past.undo-this": ("See what undoing this would do", "Mira qué haría deshacer esto"),
    "past.other-time": ("As it was at another time", "Como estaba en otro momento"),
}


class Words:
    """The words of one language."""

    __slots__ = ("_place", "lang")

    def __init__(self, lang: str = DEFAULT) -> None:
        self.lang = lang if lang in LANGUAGES else DEFAULT
        self._place = LANGUAGES.index(self.lang)

    def __call__(self, key: str, **values: object) -> str:
        """The words under a key, which must be there."""
        return _WORDS[key][self._place].format(**values)

    def count(self, key: str, count: int, **values: object) -> str:
        """The words under a key of a count: its `.one` where that is there and fits."""
        one = f"{key}.one"
        return self(one if count == 1 and one in _WORDS else key, count=self.number(count), **values)

    def either(self, key: str, otherwise: str) -> str:
        """The words under a key that may not be there, else the given text."""
        return self(key) if key in _WORDS else otherwise

    @staticmethod
    def key(family: str, name: str) -> str:
        """The key of a name within a family; `FAMILY.other` where it has no words of its own."""
        found = f"{family}.{name}"
        return found if found in _WORDS else f"{family}.other"

    @property
    def other(self) -> str:
        """The other language."""
        return LANGUAGES[1 - self._place]

    def number(self, value: object) -> str:
        """A count: thousands set apart; a dash where it is not known."""
        return f"{value:,}".replace(",", _THIN) if isinstance(value, int) else "–"

    def duration(self, seconds: object, digits: int = 3) -> str:
        """Seconds, in the largest unit that fits, to so many digits; a dash where they are not known."""
        if not isinstance(seconds, int | float):
            return "–"
        amount, unit = float(seconds), "s"
        for name, size in (("d", 86_400), ("h", 3600), ("min", 60)):
            if seconds >= size:
                amount, unit = seconds / size, name
                break
        text = f"{amount:.0f}" if amount >= 100 else f"{amount:.{digits}g}"
        return f"{text.replace('.', ',') if self.lang == 'es' else text}{_THIN}{unit}"

    def ago(self, seconds: object) -> str:
        return self("ago", time=self.duration(seconds)) if seconds is not None else "–"

    def time(self, at: int) -> str:
        """A moment (µs) to the minute, in UTC."""
        return datetime.fromtimestamp(at / _MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M")

    def day(self, at: int) -> str:
        return self.time(at)[:10]

    def kind(self, kind: str) -> str:
        return self.either(f"kind.{kind}", kind)


def has(key: str) -> bool:
    """Whether there are words under a key."""
    return key in _WORDS


def keys() -> Mapping[str, tuple[str, str]]:
    """All entries, each as (English, Spanish)."""
    return _WORDS


def chosen(asked: str | None, accept_language: str | None) -> Words:
    """The language of a request: `?lang=` where it is one of ours, else the one that Accept-Language ranks first."""
    if asked in LANGUAGES:
        return Words(asked)
    best, rank = DEFAULT, 0.0
    for part in (accept_language or "")[:_MAX_HEADER].split(","):
        tag, _, parameters = part.partition(";")
        lang = tag.strip().lower().partition("-")[0]
        quality = _quality(parameters)
        if lang in LANGUAGES and quality > rank:
            best, rank = lang, quality
    return Words(best)


def _quality(parameters: str) -> float:
    """RFC 9110 section 12.4.2; 0 where it is none."""
    name, equals, value = parameters.strip().partition("=")
    if not equals:
        return 1.0 if not name else 0.0
    try:
        return min(1.0, float(value)) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
