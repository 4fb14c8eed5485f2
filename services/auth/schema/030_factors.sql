-- Second factors: one-time codes by time, codes for when that is lost, passkeys.

-- secret: sealed (lib/base/seal.h). last_step: the newest one that was used; a step is good once.
create table totp (
	user_id varchar(36) not null,
	secret varchar(200) not null,
	last_step bigint not null,
	created_at bigint not null,
	primary key (user_id),
	foreign key (user_id) references users (id)
);

-- code_hash: SHA-256 of a code, which has 125 random bits.
create table recovery_codes (
	user_id varchar(36) not null,
	code_hash varchar(64) not null,
	created_at bigint not null,
	used_at bigint,
	primary key (user_id, code_hash),
	foreign key (user_id) references users (id)
);

-- credential_id, public_key (COSE): base64url. credential_hash: SHA-256 of the id, which may be too long for an index.
create table passkeys (
	id varchar(36) not null,
	user_id varchar(36) not null,
	credential_hash varchar(64) not null,
	credential_id varchar(1400) not null,
	public_key varchar(1700) not null,
	counter bigint not null,
	aaguid varchar(36) not null,
	name varchar(200) not null,
	backed_up smallint not null,
	created_at bigint not null,
	last_used_at bigint,
	primary key (id),
	foreign key (user_id) references users (id)
);
create unique index passkeys_by_credential on passkeys (credential_hash);
create index passkeys_by_user on passkeys (user_id);

-- Tickets (mfa/ticket.h) that were used, until they would have expired.
create table used_tickets (
	ticket_hash varchar(64) not null,
	expires_at bigint not null,
	primary key (ticket_hash)
);
create index used_tickets_by_time on used_tickets (expires_at);
