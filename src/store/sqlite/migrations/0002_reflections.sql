-- What consolidation draws from handoffs: reflections on periods, and principles that recur. Their chunks are rows of
-- chunk with entity_type 4 and 5.

create table reflection (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    period_start integer not null,
    -- The moment after the period's last; the list's order.
    period_end integer not null,
    session_count integer not null,
    summary text not null,
    insights text,
    themes text,
    -- The highest of what it was drawn from.
    sensitivity integer not null constraint reflection_sensitivity check (sensitivity between 0 and 3),
    created_at integer not null,
    chunk_first integer not null,
    chunk_count integer not null,
    constraint reflection_period check (period_start < period_end)
) strict;
create unique index reflection_by_id on reflection (tenant_no, id);
create index reflection_by_time on reflection (tenant_no, period_end);

create table principle (
    seq integer primary key,
    tenant_no integer not null,
    id blob not null,
    text text not null,
    source_handoffs text,
    count integer not null constraint principle_count check (count > 0),
    sensitivity integer not null constraint principle_sensitivity check (sensitivity between 0 and 3),
    created_at integer not null,
    updated_at integer not null,
    chunk_first integer not null,
    chunk_count integer not null
) strict;
create unique index principle_by_id on principle (tenant_no, id);
create index principle_by_time on principle (tenant_no, created_at);
-- What was found again last comes first in a wake-up.
create index principle_by_update on principle (tenant_no, updated_at);
