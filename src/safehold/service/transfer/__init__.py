"""Import and export: an account's data as plain files and folders, there and back.

    OUT/collections.json                 the collections with their properties, and what file names cannot say
    OUT/contacts/<book>/<name>.vcf       OUT/calendars/<calendar>/<name>.ics
    OUT/files/notes/…                    OUT/files/photos/…
    OUT/scores/<game>.json

An import of an export gives the same collections, properties, names and bytes. An import of other files takes .vcf and
.ics files, folders of them, and folders of notes and photos; it can be repeated, and what is there already is skipped.
One bad file or one lost body stops nothing: it is reported by name, with its reason, and the rest goes on.
"""

from safehold.service.transfer.exporting import ExportReport, export_from
from safehold.service.transfer.importing import ImportReport, import_into
from safehold.service.transfer.layout import Problem

__all__ = ["ExportReport", "ImportReport", "Problem", "export_from", "import_into"]
