-- A project that stands for another one: its id means that project from now on (session.rs), and it has no rows of its
-- own once they have moved.
alter table project add column stands_for integer;
create index project_by_target on project (tenant_no, stands_for) where stands_for is not null;

-- How far the transcript of a coding agent was read, and what its automatic handoff is made of. The path itself is not
-- kept, but a hash of it; a session that is forgotten leaves the row without its digest, so that what stood before is
-- not recorded again.
create table transcript (
    tenant_no integer not null,
    path_hash blob not null,
    session_no integer,
    inode integer not null,
    -- Of the first bytes: another file under the same name and number is read from its start.
    head_hash blob not null,
    position integer not null,
    digest text not null,
    updated_at integer not null,
    constraint transcript_pk primary key (tenant_no, path_hash)
) strict, without rowid;
create index transcript_by_session on transcript (session_no) where session_no is not null;
