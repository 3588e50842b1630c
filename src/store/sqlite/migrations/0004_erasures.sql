-- How often something of a tenant was taken out: while it stands still, what was read of a passage stays true.
alter table tenant add column erasures integer not null default 0;
