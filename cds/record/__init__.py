"""The record: what was evaluated, what was advised, what became of it, and an audit that shows tampering.

database.py     a connection to SQLite or PostgreSQL, its schema, and what happens when it is away
tables.py       the tables; migrations/ builds them
lifecycle.py    the state machine of an advisory, as a pure function
recorder.py     one evaluation into the record, in one transaction
replay.py       an evaluation computed anew from its stored inputs
responses.py    dispositions, feedback, silence, tokens seen
audit.py        the hash chain, its checkpoints, its verification
erasure.py      a patient's data out, and gone
"""
