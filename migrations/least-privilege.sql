-- What the service may do, and no more. Run as the owner of the tables, after `exowatch db upgrade`:
--     psql "$OWNER_ADDRESS" -v service=exowatch_service -f migrations/least-privilege.sql
-- The role itself: CREATE ROLE exowatch_service LOGIN; its password is set apart from any script.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"service";
GRANT USAGE ON SCHEMA public TO :"service";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"service";

-- Written once, never changed.
GRANT INSERT ON patient, inputs, evaluation, guidance, advisory_event, card, feedback, disposition, delivery, audit TO :"service";
-- An advisory goes on; a patient can be held while it is evaluated.
GRANT INSERT, UPDATE ON advisory TO :"service";
GRANT UPDATE (merged_into, due) ON patient TO :"service";
-- Results wait until it is known whose they are; a patient's identifier can end.
GRANT INSERT, UPDATE ON arrival TO :"service";
GRANT INSERT, DELETE ON sought TO :"service";
GRANT INSERT ON identifier TO :"service";
GRANT UPDATE (patient_id, ended) ON identifier TO :"service";
-- Answers and persons are as of the last evaluation; a case can be taken off an agenda.
GRANT INSERT, UPDATE, DELETE ON answer, person, agenda TO :"service";
-- An action is done or not, a meeting is held; decisions, second readings, outcomes and acknowledgements stand.
GRANT INSERT, UPDATE ON action, meeting TO :"service";
GRANT INSERT ON second_reading, outcome, acknowledgement, rule_text TO :"service";
-- Where the EHR says that one patient replaces another, the rows move to the one that stays.
GRANT UPDATE (patient_id) ON inputs, evaluation, guidance, advisory_event, card, feedback, disposition,
  second_reading, outcome, acknowledgement TO :"service";
-- Tokens that have expired are forgotten.
GRANT INSERT, DELETE ON token TO :"service";
-- People sign in, and are let in or not; an account is never deleted, what it did stands in the audit.
GRANT INSERT, UPDATE ON account TO :"service";
GRANT INSERT, DELETE ON session TO :"service";
GRANT UPDATE (seen) ON session TO :"service";
-- Erasure is done by the owner, at a terminal.
