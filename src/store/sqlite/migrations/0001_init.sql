-- The first schema. Ids are 16-byte blobs, enums small integers (domain/vocabulary.rs), times Unix milliseconds.
-- Insertion sequence is the rowid; order everywhere is (time, rowid).

create table store (
    -- One row: what the file knows about itself beyond its header.
    only_row integer primary key constraint store_only_row check (only_row = 1),
    created_at integer not null,
    terms_version integer not null,
    proved_at integer not null
) strict;

create table stat (
    name text not null,
    label text not null,
    value integer not null,
    constraint stat_pk primary key (name, label)
) strict, without rowid;

-- A number is never used twice, since it prefixes the tenant's terms in the index.
create table tenant (
    tenant_no integer primary key autoincrement,
    name text not null,
    created_at integer not null,
    forgotten_at integer,
    write_seq integer not null default 0,
    passages integer not null default 0,
    words integer not null default 0
) strict;
create unique index tenant_by_name on tenant (name) where forgotten_at is null;

-- The facts of stat, for each tenant by itself.
create table tenant_stat (
    tenant_no integer not null,
    name text not null,
    label text not null,
    value integer not null,
    constraint tenant_stat_pk primary key (tenant_no, name, label)
) strict, without rowid;

create table project (
    project_no integer primary key,
    tenant_no integer not null,
    project_id text not null,
    name text not null,
    aliases text not null default '[]',
    created_at integer not null
) strict;
create unique index project_by_id on project (tenant_no, project_id);
create index project_by_time on project (tenant_no, created_at);

create table session (
    session_no integer primary key,
    tenant_no integer not null,
    session_id text not null,
    project_no integer,
    with_whom text,
    started_at integer not null,
    last_seen_at integer not null,
    events integer not null default 0,
    handoffs integer not null default 0,
    forgotten_at integer
) strict;
create unique index session_by_id on session (tenant_no, session_id) where forgotten_at is null;
create index session_by_time on session (tenant_no, started_at);

create table event (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    session_no integer not null,
    project_no integer,
    ts integer not null,
    channel integer not null constraint event_channel check (channel between 0 and 3),
    actor_type integer not null constraint event_actor_type check (actor_type between 0 and 2),
    actor text not null,
    kind integer not null constraint event_kind check (kind between 0 and 5),
    sensitivity integer not null constraint event_sensitivity check (sensitivity between 0 and 3),
    tags text,
    refs text,
    -- JSON, cut to 64 KiB of text; the whole is the artifact.
    content text not null,
    artifact_seq integer,
    -- Of the client's request; null when the id is ours.
    fingerprint blob,
    -- The chunks are the rows chunk_first .. chunk_first + chunk_count.
    chunk_first integer not null,
    chunk_count integer not null
) strict;
create unique index event_by_id on event (tenant_no, id);
create index event_by_time on event (tenant_no, ts);
create index event_by_session on event (tenant_no, session_no, ts);
create index event_by_kind on event (tenant_no, kind, ts);

create table artifact (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    event_seq integer not null,
    kind integer not null constraint artifact_kind check (kind between 0 and 1),
    bytes integer not null,
    meta text not null,
    body text not null
) strict;
create unique index artifact_by_id on artifact (tenant_no, id);

create table handoff (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    session_no integer not null,
    project_no integer,
    with_whom text not null,
    experienced text not null,
    noticed text not null,
    learned text not null,
    story text not null,
    becoming text not null,
    remember text not null,
    significance real not null constraint handoff_significance check (significance between 0 and 1),
    tags text,
    sensitivity integer not null constraint handoff_sensitivity check (sensitivity between 0 and 3),
    origin integer not null constraint handoff_origin check (origin between 0 and 1),
    compression_level integer not null default 0
        constraint handoff_compression_level check (compression_level between 0 and 3),
    summary text,
    quick_ref text,
    created_at integer not null,
    fingerprint blob,
    chunk_first integer not null,
    chunk_count integer not null
) strict;
create unique index handoff_by_id on handoff (tenant_no, id);
create index handoff_by_time on handoff (tenant_no, created_at);
create index handoff_by_project on handoff (tenant_no, project_no, created_at);
create index handoff_by_person on handoff (tenant_no, with_whom, created_at);
create index handoff_by_person_project on handoff (tenant_no, with_whom, project_no, created_at);
create index handoff_by_session on handoff (tenant_no, session_no, created_at);
-- The identity thread.
create index handoff_by_becoming on handoff (tenant_no, created_at) where becoming <> '';
create unique index handoff_automatic on handoff (tenant_no, session_no) where origin = 1;

-- Totals per tenant, project and person, so that no wake-up counts. project_no: 0 all, -1 those of none;
-- with_whom: '' all. By sensitivity, since a count may tell no more than the list it counts; sessions have none.
create table summary (
    tenant_no integer not null,
    project_no integer not null,
    with_whom text not null,
    sensitivity integer not null,
    sessions integer not null default 0,
    handoffs integer not null default 0,
    statements integer not null default 0,
    constraint summary_pk primary key (tenant_no, project_no, with_whom, sensitivity)
) strict, without rowid;

-- The unit that is searched: a byte range of a text that stands in event or handoff. What filters look at is kept
-- here, so that a candidate costs one look-up.
create table chunk (
    seq integer primary key,
    tenant_no integer not null,
    entity_type integer not null,
    entity_seq integer not null,
    -- Null for what has no session: decisions and notes.
    session_no integer,
    project_no integer,
    ts integer not null,
    sensitivity integer not null,
    field integer not null,
    byte_start integer not null,
    byte_end integer not null,
    words integer not null,
    -- Null for the first chunk of an event, which has the event's id.
    id blob
) strict;
create unique index chunk_by_id on chunk (tenant_no, id) where id is not null;

create table decision (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    project_no integer,
    ts integer not null,
    status integer not null default 0 constraint decision_status check (status between 0 and 1),
    scope integer not null constraint decision_scope check (scope between 0 and 4),
    decision text not null,
    rationale text,
    constraints text,
    alternatives text,
    consequences text,
    refs text,
    superseded_by blob,
    fingerprint blob,
    chunk_first integer not null,
    chunk_count integer not null
) strict;
create unique index decision_by_id on decision (tenant_no, id);
create index decision_by_time on decision (tenant_no, ts);
create index decision_by_status on decision (tenant_no, status, ts);
create index decision_by_project on decision (tenant_no, project_no, ts);
create index decision_by_project_status on decision (tenant_no, project_no, status, ts);
-- What is always shown: scope policy and global.
create index decision_standing on decision (tenant_no, ts) where status = 0 and scope >= 3;
create index decision_by_successor on decision (tenant_no, superseded_by) where superseded_by is not null;

create table note (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    project_no integer,
    title text,
    content text not null,
    with_whom text,
    source_handoffs text,
    tags text,
    confidence real not null constraint note_confidence check (confidence between 0 and 1),
    pinned integer not null constraint note_pinned check (pinned between 0 and 1),
    created_at integer not null,
    updated_at integer not null,
    fingerprint blob,
    chunk_first integer not null,
    chunk_count integer not null
) strict;
create unique index note_by_id on note (tenant_no, id);
create index note_by_time on note (tenant_no, created_at);
create index note_by_pin on note (tenant_no, pinned, created_at);
create index note_by_project on note (tenant_no, project_no, created_at);
create index note_by_project_pin on note (tenant_no, project_no, pinned, created_at);

-- Terms, made by domain/terms.rs and prefixed with the tenant's number; the text itself is not here. Ranking reads
-- lengths from chunk, so there is no docsize table.
create virtual table term_index using fts5 (
    terms, content = '', columnsize = 0, tokenize = "ascii tokenchars '_-./:#@+'"
);
insert into term_index (term_index, rank) values ('secure-delete', 1);
create virtual table term_row using fts5vocab (term_index, row);
create virtual table term_instance using fts5vocab (term_index, instance);

create table idempotency (
    seq integer primary key,
    tenant_no integer not null,
    route text not null,
    key_hash blob not null,
    fingerprint blob not null,
    receipt text not null,
    created_at integer not null
) strict;
create unique index idempotency_by_key on idempotency (tenant_no, route, key_hash);

-- Work that goes on after its answer and after a crash.
create table job (
    job_no integer primary key,
    id blob not null,
    job_type integer not null,
    tenant_no integer not null,
    session_no integer,
    created_at integer not null,
    completed_at integer
) strict;
create index job_open on job (job_no) where completed_at is null;
