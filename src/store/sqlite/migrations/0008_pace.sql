-- Sixteen segments of the index become one of the next level, in place of the eight of step 5: a term is written anew once
-- less for a million events, which a handoff gains a tenth by. FTS5 takes no more. A level that has more than that while it
-- is merged bit by bit is no crisis, in which FTS5 would merge all of it at once while a write waits.
insert into term_index (term_index, rank) values ('usermerge', 16);
insert into term_index (term_index, rank) values ('crisismerge', 64);

-- The most sensitive passage that a tenant ever had. A reader who may know of that may know of all, and a search need not
-- look at sixteen passages of each of its terms to see how many of them count.
alter table tenant add column most_sensitive integer not null default 0;
update tenant set most_sensitive = most
from (select tenant_no as of, max(sensitivity) as most from chunk group by tenant_no) where tenant_no = of;

-- A search looks for what stands around its forty best candidates, eight events each: out of the index alone.
drop index event_by_session;
create index event_by_session on event (tenant_no, session_no, ts, seq, sensitivity, chunk_first, chunk_count);
