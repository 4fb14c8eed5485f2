-- Personal access tokens and those of service accounts (kind 'service' in users). hash: SHA-256 of the whole token.
create table access_tokens (
	id varchar(36) not null,
	user_id varchar(36) not null,
	name varchar(200) not null,
	-- an array of JSON: what it may at the most; what it may is that of it which its user may
	scopes text not null,
	hash varchar(64) not null,
	created_at bigint not null,
	created_by varchar(36) not null,
	expires_at bigint not null,
	last_used_at bigint,
	primary key (id),
	foreign key (user_id) references users (id)
);
create index access_tokens_by_user on access_tokens (user_id, id);
