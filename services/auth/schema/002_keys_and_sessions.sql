-- A session is a family of refresh tokens: only the newest counter is good (see refresh.c).
create table sessions (
	id varchar(36) not null,
	user_id varchar(36) not null,
	counter bigint not null,
	rotated_at bigint not null,
	created_at bigint not null,
	-- the family's end, which never moves, and the end unless it is used before
	ends_at bigint not null,
	idle_ends_at bigint not null,
	revoked_at bigint,
	revoked_reason varchar(32),
	client varchar(16) not null,
	address varchar(64) not null,
	user_agent varchar(255) not null,
	primary key (id),
	foreign key (user_id) references users (id)
);
create index sessions_by_user on sessions (user_id, revoked_at);

-- The public halves; the secret ones are files in the data folder.
create table signing_keys (
	kid varchar(64) not null,
	algorithm varchar(16) not null,
	public_key varchar(100) not null,
	created_at bigint not null,
	retired_at bigint,
	primary key (kid)
);

-- key_hash: SHA-256 of the key, which has 256 random bits. kind 'local': the command line of this machine.
create table api_keys (
	id varchar(36) not null,
	user_id varchar(36) not null,
	kind varchar(16) not null,
	name varchar(200) not null,
	key_hash varchar(64) not null,
	created_at bigint not null,
	expires_at bigint,
	revoked_at bigint,
	primary key (id),
	foreign key (user_id) references users (id)
);
create unique index api_keys_by_hash on api_keys (key_hash);
