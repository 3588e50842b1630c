-- What ranking reads of a passage instead of its text: domain/recall/signature.rs. Under the number of its chunk.
create table signature (
    seq integer primary key,
    terms blob not null
) strict;
