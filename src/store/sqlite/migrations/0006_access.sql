-- Who may talk, and who did what.

-- Keys of the API. The key itself is not here: 256 random bits whose SHA-256 is. A key names its tenant and not the
-- tenant's number, since it may be made before the tenant's first write.
create table api_key (
    key_no integer primary key,
    id blob not null,
    tenant text not null,
    name text not null,
    scope integer not null constraint api_key_scope check (scope between 0 and 2),
    prefix text not null,
    hash blob not null constraint api_key_hash check (length(hash) = 32),
    created_at integer not null,
    expires_at integer,
    revoked_at integer,
    -- Written at most once a minute.
    last_used_at integer
) strict;
create unique index api_key_by_id on api_key (id);
create unique index api_key_by_hash on api_key (hash);
create unique index api_key_by_name on api_key (tenant, name) where revoked_at is null;

-- One row. Asked: 0 no key was ever made, 1 each request needs one, 2 switched off by hand. The generation rises with
-- each change of a key, so that a server sees with one look whether what it holds is still so.
create table access (
    only_row integer primary key constraint access_only_row check (only_row = 1),
    asked integer not null default 0 constraint access_asked check (asked between 0 and 2),
    generation integer not null default 0
) strict;
insert into access (only_row) values (1);

-- Who did something: each pair of door and name stands once, so that a row of the audit is small.
create table audit_who (
    who_no integer primary key,
    tenant text not null,
    via integer not null constraint audit_who_via check (via between 0 and 3),
    key_id blob,
    key_name text,
    address text
) strict;
create unique index audit_who_by_all on audit_who (tenant, via, ifnull(key_id, x''), ifnull(address, ''));

-- What was done, never what was said. Rows are added in the transaction of the write and taken out by age alone. Writes
-- of one caller that were committed together are one row: how many, and the ids of the first and the last.
create table audit (
    seq integer primary key autoincrement,
    ts integer not null,
    action integer not null,
    who_no integer not null,
    count integer not null default 1 constraint audit_count check (count > 0),
    first_id blob,
    last_id blob
) strict;
create trigger audit_is_not_changed before update on audit begin
    select raise(abort, 'the audit is only added to');
end;
