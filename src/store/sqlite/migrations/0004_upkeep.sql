-- How often something of a tenant was taken out: while it stands still, what was read of a passage stays true.
alter table tenant add column erasures integer not null default 0;

-- FTS5 by itself merges for ten milliseconds in every sixth group or so; the writer has it merge a little in each. Eight
-- segments at a time instead of four write each page a third less often, for a little more to look at in a search.
insert into term_index (term_index, rank) values ('automerge', 0);
insert into term_index (term_index, rank) values ('usermerge', 8);
