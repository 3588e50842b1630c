-- Sixteen segments of the index become one of the next level, in place of the eight of step 5: a term is written anew once
-- less for a million events, which a handoff gains a tenth by. FTS5 takes no more. A level that has more than that while it
-- is merged bit by bit is no crisis, in which FTS5 would merge all of it at once while a write waits.
insert into term_index (term_index, rank) values ('usermerge', 16);
insert into term_index (term_index, rank) values ('crisismerge', 64);
