-- What was revoked, numbered in the order of the commits: the services follow it (feed.c) and refuse tokens that are younger than
-- their end.
create table revocations (
	number bigint not null,
	-- 'session', 'token' or 'user'
	kind varchar(16) not null,
	-- the session's or user's id, the token's jti
	subject varchar(64) not null,
	-- of a user: his permission epoch; tokens with an older one have these permissions now (an array of JSON), or are refused (null)
	rights bigint not null,
	permissions text,
	reason varchar(32) not null,
	revoked_at bigint not null,
	primary key (number)
);
create index revocations_by_time on revocations (revoked_at);

-- One row, id 1. Whoever revokes takes the next number and keeps the row locked until the commit, so that nobody who has read a
-- number can find a smaller one later.
create table revocation_counter (
	id integer not null,
	newest bigint not null,
	primary key (id)
);
insert into revocation_counter (id, newest) values (1, 0);
