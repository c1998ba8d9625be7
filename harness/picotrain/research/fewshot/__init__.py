"""Few-shot tasks on the device: every scheme of sparse updates on many tasks of many domains.

Knows devices, data sets and networks; the page that shows what came of it is docs/tinytrain.md.
"""
