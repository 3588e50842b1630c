-- How often something of a tenant was taken out: while it stands still, what was read of a passage stays true.
alter table tenant add column erasures integer not null default 0;

-- Where in a passage a term stands is in its signature, so the index says no more than in which passages it does
-- (`detail`): it takes a third less room, and as much less work to write and to merge. That cannot be changed in place;
-- the step fills it anew.
drop table term_row;
drop table term_instance;
drop table term_index;
create virtual table term_index using fts5 (
    terms, content = '', columnsize = 0, detail = none, tokenize = "ascii tokenchars '_-./:#@+'"
);
create virtual table term_row using fts5vocab (term_index, row);
create virtual table term_instance using fts5vocab (term_index, instance);
insert into term_index (term_index, rank) values ('secure-delete', 1);
-- FTS5 by itself merges for ten milliseconds in every sixth group or so; the writer has it merge a little in each.
insert into term_index (term_index, rank) values ('automerge', 0);

-- How many handoffs say what to remember.
insert into stat (name, label, value) select 'handoffs_to_remember', '', count(*) from handoff where remember <> '' having count(*) > 0;
insert into tenant_stat (tenant_no, name, label, value)
select tenant_no, 'handoffs_to_remember', '', count(*) from handoff where remember <> '' group by tenant_no;
