"""Room `audit_index`: the audit trail in a database that can be asked.

Touches DuckDB, PostgreSQL and the opened topic.

The topic stays the truth: what is here can be thrown away and made again. Begin with
`store.py`, what a database must do; `indexing.py` fills one from the topic.
"""
