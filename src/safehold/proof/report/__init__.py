"""The report of a period: composed once, of verified evidence and recorded series, and drawn as HTML and as PDF.

    words.py     what it says, in English and Spanish       document.py  sections, tables, figures: what it consists of
    record.py    a record of the period, by its number      gaps.py      days and spans without evidence
    reading.py   facts of records, as they are found
    sections.py  records to sections                        figures.py   samples and drills to drawn plots
    demands.py   what frameworks ask                        compose.py   all of it to a Document
    html.py, pdf.py   a Document to bytes

Both renderings show the same cells and the same shapes: what is in one is in the other. The same evidence, series and
moment of making give the same bytes.
"""
