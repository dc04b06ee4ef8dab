"""What clients do with answers, read in their sources: one table for each client, one row for each answer.

A row is a choice and its source: `repository path (function)`, or where no source is public what was recorded or read
instead. `none found` marks what the client is only likely to do; then the choice is the one that deletes.

A table is data. `client` and `files` carry it out.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

DAVX5 = "bitfireAT/davx5-ose app/src/main/kotlin/at/bitfire/davdroid/"
DAVX5_SYNC, DAVX5_CARDS = DAVX5 + "sync/SyncManager.kt", DAVX5 + "sync/ContactsSyncManager.kt"
THUNDERBIRD_CARDS = "mozilla/releases-comm-central mailnews/addrbook/modules/CardDAVDirectory.sys.mjs"
THUNDERBIRD_CALENDAR = "mozilla/releases-comm-central calendar/providers/caldav/"
THUNDERBIRD_HANDLERS = THUNDERBIRD_CALENDAR + "modules/CalDavRequestHandlers.sys.mjs"
EVOLUTION = "GNOME/evolution-data-server src/"
EVOLUTION_CARDS = EVOLUTION + "addressbook/backends/carddav/e-book-backend-carddav.c"
EVOLUTION_CALENDAR = EVOLUTION + "calendar/backends/caldav/e-cal-backend-caldav.c"
EVOLUTION_META = EVOLUTION + "addressbook/libedata-book/e-book-meta-backend.c"
VDIRSYNCER = "pimutils/vdirsyncer vdirsyncer/"
APPLE = "apple/ccs-calendarserver contrib/performance/loadtest/ical.py"
NEXTCLOUD = "nextcloud/desktop src/libsync/"
RCLONE = "rclone/rclone cmd/bisync/"
NONE_FOUND = "none found"


class Way(Enum):
    """How a client learns what is there."""

    TOKEN = auto()  # sync-collection with the last token
    LIST = auto()  # PROPFIND of all tags
    QUERY = auto()  # a query without conditions, in place of the listing


class Do(Enum):
    """What a client does with an answer."""

    KEEP = auto()  # leaves its copy as it is and tries again at its next sync
    DELETE = auto()  # deletes its copy
    STOP_IF_EMPTY = auto()  # deletes what is missing, but stops where all is missing
    STOP_IF_MOST = auto()  # the same where more than half is missing
    IGNORE = auto()  # goes on as if the line were not there; the token is kept
    ABORT = auto()  # ends this sync without keeping its token
    RESYNC = auto()  # lists all anew, and deletes what is not listed
    LIST_ANEW = auto()  # the same, by a listing of tags
    FAIL_FOR_EVER = auto()  # the same request again at each sync
    PROBE = auto()  # asks for the collection itself, and deletes it on 403, 404 or 410
    QUEUE = auto()  # keeps the edit and sends it again
    FORGET = auto()  # the edit is not sent again
    TAKE_THEIRS = auto()  # gives its own up for the server's
    KEEP_BOTH = auto()  # keeps its own beside the server's
    AS_NEW = auto()  # sends it as a new item
    GO_ON = auto()  # asks for more until there is no more
    MISS_THE_REST = auto()  # takes the answer for complete
    DISABLE = auto()  # asks no more, and keeps the copy
    NEVER_ASKED = auto()


class Row(NamedTuple):
    """One answer: what is done, and which source says so."""

    do: Do
    source: str


class Table(NamedTuple):
    """One client. `kinds` are the types of collections that it keeps: addressbook, calendar, folder."""

    client: str
    program: str  # as it names itself in User-Agent
    kinds: tuple[str, ...]
    way: Way
    looks_at_tag: bool  # asks for getctag or sync-token first, and does nothing where it is the same
    missing_in_list: Row  # an item that a full listing leaves out
    gone_in_sync: Row  # 404 within sync-collection
    gone_in_multiget: Row  # 404 for an item that was asked for
    failed_in_multiget: Row  # 5xx for one
    collection_gone: Row  # 404, 410 or 403 for the collection, at a sync
    home_omits: Row  # a home that does not list a collection
    token_403: Row
    token_400: Row
    unauthorized: Row  # 401
    unavailable: Row  # 503
    honours_retry_after: bool
    truncated: Row  # 507 within sync-collection
    put_refused: Row  # 5xx
    put_conflict: Row  # 412 or 409
    put_gone: Row  # 404 or 410
    delete_refused: Row  # 4xx but 404 and 412, and 5xx
    delete_conflict: Row  # 412


CLIENTS: tuple[Table, ...] = (
    Table(
        client="DAVx5",
        program="DAVx5/4.5.6-ose (dav4jvm; okhttp/5.1.0) Android/15",
        kinds=("addressbook", "calendar"),
        way=Way.TOKEN,
        looks_at_tag=True,
        missing_in_list=Row(Do.DELETE, DAVX5_SYNC + " (deleteNotPresentRemotely)"),
        gone_in_sync=Row(Do.DELETE, DAVX5_SYNC + " (syncRemote, on NOT_FOUND)"),
        gone_in_multiget=Row(Do.IGNORE, DAVX5_CARDS + " (downloadRemote: not successful, ignoring)"),
        failed_in_multiget=Row(Do.IGNORE, DAVX5_CARDS + " (downloadRemote)"),
        collection_gone=Row(Do.KEEP, DAVX5_SYNC + " (performSync: notifyException)"),
        home_omits=Row(Do.PROBE, DAVX5 + "servicedetection/CollectionListRefresher.kt (refreshHomelessCollections)"),
        token_403=Row(Do.RESYNC, DAVX5_SYNC + " (performSync: VALID_SYNC_TOKEN)"),
        token_400=Row(Do.RESYNC, DAVX5_SYNC + " (performSync: any HttpException with the element)"),
        unauthorized=Row(Do.KEEP, DAVX5_SYNC + " (notifyException)"),
        unavailable=Row(Do.KEEP, DAVX5_SYNC + " (ServiceUnavailableException, getDelayUntil)"),
        honours_retry_after=True,
        truncated=Row(Do.GO_ON, DAVX5_SYNC + " (furtherChanges)"),
        put_refused=Row(Do.QUEUE, DAVX5_SYNC + " (uploadDirty: else -> throw)"),
        put_conflict=Row(Do.TAKE_THEIRS, DAVX5_SYNC + " (uploadDirty: 409 and 412 are ignored)"),
        put_gone=Row(Do.AS_NEW, DAVX5_SYNC + " (uploadDirty: NotFoundException, GoneException)"),
        delete_refused=Row(Do.FORGET, DAVX5_SYNC + " (processLocallyDeleted: Couldn't delete)"),
        delete_conflict=Row(Do.FORGET, DAVX5_SYNC + " (processLocallyDeleted)"),
    ),
    Table(
        client="Thunderbird contacts",
        program="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.5.0",
        kinds=("addressbook",),
        way=Way.TOKEN,
        looks_at_tag=False,
        missing_in_list=Row(Do.DELETE, THUNDERBIRD_CARDS + " (fetchAllFromServer)"),
        gone_in_sync=Row(Do.DELETE, THUNDERBIRD_CARDS + " (updateAllFromServerV2)"),
        gone_in_multiget=Row(Do.IGNORE, THUNDERBIRD_CARDS + " (_fetchAndStore)"),
        failed_in_multiget=Row(Do.IGNORE, THUNDERBIRD_CARDS + " (_fetchAndStore)"),
        collection_gone=Row(Do.KEEP, THUNDERBIRD_CARDS + " (_multigetRequest: throws)"),
        home_omits=Row(Do.NEVER_ASKED, THUNDERBIRD_CARDS),
        token_403=Row(Do.FAIL_FOR_EVER, THUNDERBIRD_CARDS + " (updateAllFromServerV2: 400 alone resyncs)"),
        token_400=Row(Do.LIST_ANEW, THUNDERBIRD_CARDS + " (updateAllFromServerV2)"),
        unauthorized=Row(Do.KEEP, THUNDERBIRD_CARDS + " (_makeRequest)"),
        unavailable=Row(Do.KEEP, THUNDERBIRD_CARDS + " (_makeRequest: throws)"),
        honours_retry_after=False,
        truncated=Row(Do.MISS_THE_REST, THUNDERBIRD_CARDS + " (updateAllFromServerV2: 507 is not looked at)"),
        put_refused=Row(Do.FORGET, THUNDERBIRD_CARDS + " (_sendCardToServer: not queued again)"),
        put_conflict=Row(Do.TAKE_THEIRS, THUNDERBIRD_CARDS + " (_sendCardToServer, _fetchAndStore)"),
        put_gone=Row(Do.FORGET, THUNDERBIRD_CARDS + " (_sendCardToServer)"),
        delete_refused=Row(Do.FORGET, THUNDERBIRD_CARDS + " (_deleteCardFromServer)"),
        delete_conflict=Row(Do.FORGET, THUNDERBIRD_CARDS + " (_deleteCardFromServer)"),
    ),
    Table(
        client="Thunderbird calendar",
        program="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.5.0",
        kinds=("calendar",),
        way=Way.TOKEN,
        looks_at_tag=True,
        missing_in_list=Row(Do.DELETE, THUNDERBIRD_HANDLERS + " (CalDavEtagsHandler)"),
        gone_in_sync=Row(Do.DELETE, THUNDERBIRD_HANDLERS + " (CalDavWebDavSyncHandler)"),
        gone_in_multiget=Row(Do.DELETE, THUNDERBIRD_HANDLERS + " (CalDavMultigetSyncHandler)"),
        failed_in_multiget=Row(Do.IGNORE, THUNDERBIRD_HANDLERS + " (CalDavMultigetSyncHandler)"),
        collection_gone=Row(Do.DISABLE, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (checkDavResourceType)"),
        home_omits=Row(Do.NEVER_ASKED, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs"),
        token_403=Row(Do.LIST_ANEW, THUNDERBIRD_HANDLERS + " (CalDavWebDavSyncHandler)"),
        token_400=Row(Do.KEEP, THUNDERBIRD_HANDLERS + " (CalDavWebDavSyncHandler)"),
        unauthorized=Row(Do.KEEP, THUNDERBIRD_CALENDAR + "modules/CalDavRequest.sys.mjs"),
        unavailable=Row(Do.KEEP, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (reportDavError)"),
        honours_retry_after=False,
        truncated=Row(Do.GO_ON, THUNDERBIRD_HANDLERS + " (additionalSyncNeeded)"),
        put_refused=Row(Do.QUEUE, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (doAdoptItem; offline cache)"),
        put_conflict=Row(Do.TAKE_THEIRS, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (promptOverwrite: reload)"),
        put_gone=Row(Do.AS_NEW, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (doModifyItem)"),
        delete_refused=Row(Do.QUEUE, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (doDeleteItem)"),
        delete_conflict=Row(Do.TAKE_THEIRS, THUNDERBIRD_CALENDAR + "CalDavCalendar.sys.mjs (promptOverwrite)"),
    ),
    Table(
        client="Evolution",
        program="Evolution/3.58.0",
        kinds=("addressbook", "calendar"),
        way=Way.LIST,
        looks_at_tag=True,
        missing_in_list=Row(Do.DELETE, EVOLUTION_CARDS + " (get_changes_sync)"),
        gone_in_sync=Row(Do.DELETE, EVOLUTION_CALENDAR + " (get_changes_sync)"),
        gone_in_multiget=Row(Do.DELETE, EVOLUTION_CALENDAR + " (multiget_response_cb)"),
        failed_in_multiget=Row(Do.IGNORE, EVOLUTION_CARDS + " (multiget_response_cb)"),
        collection_gone=Row(Do.KEEP, EVOLUTION + "libedataserver/e-webdav-session.c (check_error)"),
        home_omits=Row(Do.DELETE, EVOLUTION + "libebackend/e-webdav-collection-backend.c (discover_sync)"),
        token_403=Row(Do.LIST_ANEW, EVOLUTION_CALENDAR + " (get_changes_sync)"),
        token_400=Row(Do.LIST_ANEW, EVOLUTION_CALENDAR + " (get_changes_sync)"),
        unauthorized=Row(Do.KEEP, EVOLUTION + "libedataserver/e-webdav-session.c"),
        unavailable=Row(Do.KEEP, EVOLUTION + "libedataserver/e-webdav-session.c (check_error)"),
        honours_retry_after=False,
        truncated=Row(Do.GO_ON, EVOLUTION_CALENDAR + " (get_changes_sync)"),
        put_refused=Row(Do.QUEUE, EVOLUTION_META + " (upload_local_changes)"),
        put_conflict=Row(Do.TAKE_THEIRS, EVOLUTION_META + " (E_CONFLICT_RESOLUTION)"),
        put_gone=Row(Do.AS_NEW, NONE_FOUND),
        delete_refused=Row(Do.QUEUE, EVOLUTION_META + " (upload_local_changes)"),
        delete_conflict=Row(Do.TAKE_THEIRS, EVOLUTION_META),
    ),
    Table(
        client="vdirsyncer",
        program="vdirsyncer/0.20.0",
        kinds=("addressbook", "calendar"),
        way=Way.QUERY,
        looks_at_tag=False,
        missing_in_list=Row(Do.STOP_IF_EMPTY, VDIRSYNCER + "sync/__init__.py (sync: StorageEmpty; _get_actions)"),
        gone_in_sync=Row(Do.NEVER_ASKED, VDIRSYNCER + "storage/dav.py"),
        gone_in_multiget=Row(Do.ABORT, VDIRSYNCER + "storage/dav.py (get_multi: NotFoundError)"),
        failed_in_multiget=Row(Do.ABORT, VDIRSYNCER + "storage/dav.py (get_multi)"),
        collection_gone=Row(Do.KEEP, VDIRSYNCER + "http.py (request: raises)"),
        home_omits=Row(Do.NEVER_ASKED, VDIRSYNCER + "cli/discover.py"),
        token_403=Row(Do.NEVER_ASKED, VDIRSYNCER + "storage/dav.py"),
        token_400=Row(Do.NEVER_ASKED, VDIRSYNCER + "storage/dav.py"),
        unauthorized=Row(Do.KEEP, VDIRSYNCER + "http.py (request)"),
        unavailable=Row(Do.KEEP, VDIRSYNCER + "http.py (request)"),
        honours_retry_after=False,
        truncated=Row(Do.NEVER_ASKED, VDIRSYNCER + "storage/dav.py"),
        put_refused=Row(Do.QUEUE, VDIRSYNCER + "sync/__init__.py (Action.auto_rollback)"),
        put_conflict=Row(Do.QUEUE, VDIRSYNCER + "sync/__init__.py (ResolveConflict: SyncConflict)"),
        put_gone=Row(Do.QUEUE, VDIRSYNCER + "sync/__init__.py (Action.auto_rollback)"),
        delete_refused=Row(Do.QUEUE, VDIRSYNCER + "sync/__init__.py (Action.auto_rollback)"),
        delete_conflict=Row(Do.QUEUE, VDIRSYNCER + "sync/__init__.py (Action.auto_rollback)"),
    ),
    Table(
        client="Apple",
        program="macOS/26.5.1 (25F80) AddressBookCore/2831",
        kinds=("addressbook", "calendar"),
        way=Way.TOKEN,
        looks_at_tag=True,
        missing_in_list=Row(Do.DELETE, APPLE + " (_updateCalendar_PROPFIND)"),
        gone_in_sync=Row(Do.DELETE, APPLE + " (_updateCalendar_SYNC)"),
        gone_in_multiget=Row(Do.IGNORE, APPLE + " (_updateChangedEvents)"),
        failed_in_multiget=Row(Do.IGNORE, APPLE + " (_updateChangedEvents)"),
        collection_gone=Row(Do.KEEP, APPLE + " (_updateCalendar_SYNC)"),
        home_omits=Row(Do.DELETE, APPLE + " (_calendarHomePropfind: calendars that are not listed are dropped)"),
        token_403=Row(Do.LIST_ANEW, APPLE + " (_updateCalendar_SYNC: IncorrectResponseCode)"),
        token_400=Row(Do.LIST_ANEW, APPLE + " (_updateCalendar_SYNC)"),
        unauthorized=Row(Do.KEEP, APPLE + " (_request)"),
        unavailable=Row(Do.KEEP, NONE_FOUND),
        honours_retry_after=False,
        truncated=Row(Do.GO_ON, NONE_FOUND),
        put_refused=Row(Do.QUEUE, NONE_FOUND),
        put_conflict=Row(Do.TAKE_THEIRS, NONE_FOUND),
        put_gone=Row(Do.AS_NEW, NONE_FOUND),
        delete_refused=Row(Do.QUEUE, NONE_FOUND),
        delete_conflict=Row(Do.TAKE_THEIRS, NONE_FOUND),
    ),
    Table(
        client="Nextcloud files",
        program="Mozilla/5.0 (Linux) mirall/3.17.0 (Nextcloud)",
        kinds=("folder",),
        way=Way.LIST,
        looks_at_tag=False,
        missing_in_list=Row(Do.DELETE, NEXTCLOUD + "discovery.cpp (processFileAnalyzeLocalInfo: remote removed)"),
        gone_in_sync=Row(Do.NEVER_ASKED, NEXTCLOUD + "discovery.cpp"),
        gone_in_multiget=Row(
            Do.IGNORE, NEXTCLOUD + "propagatedownload.cpp (slotGetFinished: 404 is an error of the file)"
        ),
        failed_in_multiget=Row(Do.IGNORE, NEXTCLOUD + "propagatedownload.cpp (slotGetFinished)"),
        collection_gone=Row(Do.KEEP, NEXTCLOUD + "discovery.cpp (startAsyncServerQuery: 403, 404, 503 are ignored)"),
        home_omits=Row(Do.NEVER_ASKED, NEXTCLOUD + "discovery.cpp"),
        token_403=Row(Do.NEVER_ASKED, NEXTCLOUD + "discovery.cpp"),
        token_400=Row(Do.NEVER_ASKED, NEXTCLOUD + "discovery.cpp"),
        unauthorized=Row(Do.KEEP, NEXTCLOUD + "connectionvalidator.cpp"),
        unavailable=Row(Do.KEEP, NEXTCLOUD + "connectionvalidator.cpp (ServiceUnavailable)"),
        honours_retry_after=False,
        truncated=Row(Do.NEVER_ASKED, NEXTCLOUD + "discovery.cpp"),
        put_refused=Row(Do.QUEUE, NEXTCLOUD + "owncloudpropagator.cpp (blacklistUpdate)"),
        put_conflict=Row(Do.KEEP_BOTH, NEXTCLOUD + "propagateuploadv1.cpp (412: a conflict at the next sync)"),
        put_gone=Row(Do.QUEUE, NEXTCLOUD + "owncloudpropagator.cpp (blacklistUpdate)"),
        delete_refused=Row(Do.QUEUE, NEXTCLOUD + "propagateremotedelete.cpp"),
        delete_conflict=Row(Do.KEEP_BOTH, NEXTCLOUD + "propagateremotedelete.cpp"),
    ),
    Table(
        client="rclone bisync",
        program="rclone/v1.72.0",
        kinds=("folder",),
        way=Way.LIST,
        looks_at_tag=False,
        missing_in_list=Row(Do.STOP_IF_MOST, RCLONE + "deltas.go (findDeltas; excessDeletes, checkListing: empty)"),
        gone_in_sync=Row(Do.NEVER_ASKED, RCLONE + "deltas.go"),
        gone_in_multiget=Row(Do.ABORT, RCLONE + "operations.go (a copy that failed: critical)"),
        failed_in_multiget=Row(Do.ABORT, RCLONE + "operations.go"),
        collection_gone=Row(Do.KEEP, RCLONE + "operations.go (directory not found: critical)"),
        home_omits=Row(Do.NEVER_ASKED, RCLONE + "deltas.go"),
        token_403=Row(Do.NEVER_ASKED, RCLONE + "deltas.go"),
        token_400=Row(Do.NEVER_ASKED, RCLONE + "deltas.go"),
        unauthorized=Row(Do.KEEP, RCLONE + "operations.go"),
        unavailable=Row(Do.KEEP, RCLONE + "operations.go"),
        honours_retry_after=False,
        truncated=Row(Do.NEVER_ASKED, RCLONE + "deltas.go"),
        put_refused=Row(Do.QUEUE, RCLONE + "queue.go"),
        put_conflict=Row(Do.KEEP_BOTH, RCLONE + "resolve.go"),
        put_gone=Row(Do.QUEUE, RCLONE + "queue.go"),
        delete_refused=Row(Do.QUEUE, RCLONE + "queue.go"),
        delete_conflict=Row(Do.KEEP_BOTH, RCLONE + "resolve.go"),
    ),
)


def table_of(client: str) -> Table:
    return next(table for table in CLIENTS if table.client == client)
