"""The record: what was evaluated, what was advised, what became of it, and an audit that shows tampering.

database.py     a connection to SQLite or PostgreSQL, its schema, and what happens when it is away
tables.py       the tables, board_tables.py those of boards; migrations/ builds them
lifecycle.py    the state machine of an advisory, as a pure function
recorder.py     one evaluation into the record, in one transaction
answers.py      what the last evaluation answered to each question; worklist.py lists it
replay.py       an evaluation computed anew from its stored inputs
responses.py    feedback, silence, tokens seen
reviews.py      decisions of boards; decisions.py and codes.py say what they may be
followup.py     what became of decisions; precision.py how often rules were right
meetings.py     meetings and their agendas
accounts.py     people who sign in; sessions.py their browsers
audit.py        the hash chain, its checkpoints, its verification
erasure.py      a patient's data out, and gone
"""
