-- Consolidation: what it did, what it would take to undo it, and what readers show because of it.

-- The history. tenant_no is null for what is done to the whole file (maintenance).
create table consolidation_job (
    job_no integer primary key autoincrement,
    id blob not null,
    job_type integer not null constraint consolidation_job_type check (job_type between 0 and 5),
    tenant_no integer,
    -- Whether it was due (0), somebody asked for it (1), or it was missed before (2).
    cause integer not null constraint consolidation_job_cause check (cause between 0 and 2),
    -- running 0, completed 1, failed 2, skipped 3.
    status integer not null default 0 constraint consolidation_job_status check (status between 0 and 3),
    started_at integer not null,
    completed_at integer,
    items_processed integer not null default 0,
    items_affected integer not null default 0,
    tokens_before integer not null default 0,
    tokens_after integer not null default 0,
    -- The last handoff there was when it began, so that the next one knows what is new.
    last_handoff integer not null default 0,
    -- Why it failed or was skipped, in words of ours.
    reason text,
    undone_at integer,
    -- 1 where what it would take to undo it was lost with a damaged file.
    undo_lost integer not null default 0
) strict;
create unique index consolidation_job_by_id on consolidation_job (id);
create index consolidation_job_by_tenant on consolidation_job (tenant_no, started_at);
create index consolidation_job_by_type on consolidation_job (tenant_no, job_type, started_at);
create index consolidation_job_running on consolidation_job (job_no) where status = 0;

-- What each job changed, in order: the state before, as JSON (null: it was not there), and a hash of the state after, by
-- which an undo sees whether anything was changed since.
create table consolidation_change (
    job_no integer not null,
    change_no integer not null,
    tenant_no integer not null,
    entity_type integer not null,
    entity_id blob not null,
    before text,
    after_hash blob,
    -- The number of a row that the job took out, so that an undo puts it back in its place.
    taken_seq integer,
    constraint consolidation_change_pk primary key (job_no, change_no)
) strict, without rowid;
-- What is forgotten leaves here too.
create index consolidation_change_by_entity on consolidation_change (tenant_no, entity_type, entity_id);

-- What ever happened, by type; the metrics are published from here. Kept in the transaction that ends a job.
create table consolidation_total (
    job_type integer primary key,
    completed integer not null default 0,
    failed integer not null default 0,
    skipped integer not null default 0,
    items integer not null default 0,
    tokens_saved integer not null default 0,
    last_run_at integer not null default 0,
    last_success_at integer not null default 0
) strict;
insert into consolidation_total (job_type) values (0), (1), (2), (3), (4), (5);

-- One row: until which time what was due has been done, by whichever server.
create table consolidation_due (
    only_row integer primary key constraint consolidation_due_only_row check (only_row = 1),
    done_until integer not null
) strict;

-- Handoffs by the level that their age may ask them to leave.
create index handoff_by_level on handoff (tenant_no, compression_level, created_at);

-- A decision that was never found by a search leaves the wake-up; it stays in lists and searches.
alter table decision add column last_recalled_at integer;
alter table decision add column archived_at integer;
create index decision_current on decision (tenant_no, ts) where status = 0 and archived_at is null;
create index decision_current_by_project on decision (tenant_no, project_no, ts) where status = 0 and archived_at is null;

-- A note that says what another one says, which is shown for both; that one counts them.
alter table note add column duplicate_of blob;
alter table note add column duplicates integer not null default 0;
create index note_by_original on note (tenant_no, duplicate_of) where duplicate_of is not null;
create index note_shown on note (tenant_no, pinned, created_at) where duplicate_of is null;
create index note_shown_by_project on note (tenant_no, project_no, pinned, created_at) where duplicate_of is null;

-- Up to here a passage that took the number of one forgotten in the same group could cost those written with it some of their
-- terms, so that a search did not find them by those. The step fills the index anew.
insert into term_index (term_index) values ('delete-all');
