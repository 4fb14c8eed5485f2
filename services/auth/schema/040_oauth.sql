-- OAuth clients that are known by name here: 'registered' by themselves (RFC 7591) or 'managed' by an administrator. Those whose
-- id is the address of a document need no row.
create table oauth_clients (
	id varchar(64) not null,
	kind varchar(16) not null,
	name varchar(200) not null,
	uri varchar(1000),
	-- none, client_secret_basic or client_secret_post
	auth_method varchar(32) not null,
	-- SHA-256 of the secret, which has 256 random bits
	secret_hash varchar(64),
	-- an array of JSON
	redirect_uris text not null,
	address varchar(64) not null,
	created_by varchar(36),
	created_at bigint not null,
	used_at bigint,
	primary key (id)
);
create index oauth_clients_by_use on oauth_clients (kind, used_at, created_at);

-- code_hash: SHA-256 of the code, which has 256 random bits. session_id: what its first use began; a second use ends it.
create table oauth_codes (
	code_hash varchar(64) not null,
	client_id varchar(500) not null,
	client_name varchar(200) not null,
	user_id varchar(36) not null,
	redirect_uri varchar(1000) not null,
	scope varchar(2000) not null,
	resource varchar(1000),
	challenge varchar(64) not null,
	nonce varchar(500),
	auth_time bigint not null,
	expires_at bigint not null,
	used_at bigint,
	session_id varchar(36),
	primary key (code_hash)
);
create index oauth_codes_by_end on oauth_codes (expires_at);

-- What a session of an OAuth client may do (sessions.client is 'oauth').
create table oauth_grants (
	session_id varchar(36) not null,
	client_id varchar(500) not null,
	user_id varchar(36) not null,
	scope varchar(2000) not null,
	resource varchar(1000),
	nonce varchar(500),
	auth_time bigint not null,
	created_at bigint not null,
	ends_at bigint not null,
	primary key (session_id)
);
create index oauth_grants_by_user on oauth_grants (user_id);
create index oauth_grants_by_end on oauth_grants (ends_at);

-- What a user has allowed a client, so that he is asked once.
create table oauth_consents (
	id varchar(36) not null,
	user_id varchar(36) not null,
	client_id varchar(500) not null,
	client_name varchar(200) not null,
	client_uri varchar(1000),
	scope varchar(2000) not null,
	created_at bigint not null,
	updated_at bigint not null,
	primary key (id)
);
create unique index oauth_consents_by_user on oauth_consents (user_id, client_id);
