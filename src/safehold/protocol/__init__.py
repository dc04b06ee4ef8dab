"""WebDAV, CalDAV and CardDAV as values: request -> command or query, outcome -> response bytes. No I/O, no state.

target       what a request-target names (`/dav/anna/contacts/default/x.vcf`)
conditions   the headers that make a request conditional or partial
webdav       request bodies of RFC 4918, 5689 and 6578; caldav and carddav those of RFC 4791 and 6352
properties   the live properties of each sort of resource, and which a client may not set
multistatus  the 207 answers, built as text: a listing has thousands of lines that differ in a name and a tag
problems     a typed error -> status line, headers and an XML body that says what is wrong
"""
