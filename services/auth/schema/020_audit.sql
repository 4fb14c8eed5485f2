-- What happened, in order and chained: hash is the HMAC-SHA-256 (key secrets/auth-audit.key) of the row before and this row, so that a
-- changed, removed or inserted row is found (audit/verify.c).
create table audit_log (
	seq bigint not null,
	-- microseconds since 1970
	at bigint not null,
	-- such as 'role.changed'
	event varchar(64) not null,
	-- 'success', 'failure' or 'denied'
	outcome varchar(16) not null,
	-- 'user', 'service', 'anonymous' or 'system'
	actor_kind varchar(16) not null,
	actor_id varchar(64) not null,
	-- as it was then
	actor_name varchar(200) not null,
	-- 'user:ID', 'role:NAME', 'token:ID' …, or ''
	target varchar(160) not null,
	address varchar(64) not null,
	session_id varchar(64) not null,
	request_id varchar(64) not null,
	-- an object of JSON
	detail text not null,
	hash varchar(64) not null,
	primary key (seq)
);
create index audit_log_by_actor on audit_log (actor_id, seq);
create index audit_log_by_event on audit_log (event, seq);
create index audit_log_by_target on audit_log (target, seq);

-- One row, id 1: the end of the chain. Whoever adds a row keeps it locked until the commit. mac: HMAC over the two others.
create table audit_head (
	id integer not null,
	newest bigint not null,
	hash varchar(64) not null,
	mac varchar(64) not null,
	primary key (id)
);
insert into audit_head (id, newest, hash, mac) values (1, 0, '', '');
