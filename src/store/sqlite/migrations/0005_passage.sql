-- A passage is one row: what ranking reads of it instead of its text (domain/recall/signature.rs) stands at the row's end,
-- so that a passage is one look-up to rank and one row to write.
create table passage (
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
    id blob,
    signature blob not null
) strict;
insert into passage
select c.seq, c.tenant_no, c.entity_type, c.entity_seq, c.session_no, c.project_no, c.ts, c.sensitivity, c.field,
    c.byte_start, c.byte_end, c.words, c.id, coalesce(s.terms, x'0000000000000000')
from chunk c left join signature s on s.seq = c.seq order by c.seq;
drop table signature;
drop table chunk;
alter table passage rename to chunk;
create unique index chunk_by_id on chunk (tenant_no, id) where id is not null;

-- So many segments of the index become one of the next level. With FTS5's own 4 each term is written anew half as often
-- again, a fifth of a handoff's time; what searches pay for more segments they get back when the index is settled.
insert into term_index (term_index, rank) values ('usermerge', 8);
