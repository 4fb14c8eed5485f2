-- Other providers by which people sign in here (OpenID Connect). secret: sealed (lib/base/seal.h), null: a public client.
create table identity_providers (
	id varchar(36) not null,
	-- a word for addresses, and what the button says
	name varchar(32) not null,
	label varchar(200) not null,
	issuer varchar(500) not null,
	client_id varchar(255) not null,
	secret varchar(2000),
	-- client_secret_basic, client_secret_post or none
	auth_method varchar(32) not null,
	scopes varchar(500) not null,
	enabled smallint not null,
	-- whether who has no account gets one, with which role, and only from these domains: an array of JSON, [] = all
	sign_up smallint not null,
	default_role varchar(64) not null,
	domains varchar(2000) not null,
	-- whether a second factor that the provider tells of spares the one here
	trusts_second_factor smallint not null,
	created_at bigint not null,
	updated_at bigint not null,
	primary key (id)
);
create unique index identity_providers_by_name on identity_providers (name);
create unique index identity_providers_by_issuer on identity_providers (issuer);

-- Who somebody is at a provider. identity_hash: SHA-256 of issuer, a line feed and subject; never the e-mail address.
create table identities (
	id varchar(36) not null,
	user_id varchar(36) not null,
	provider_id varchar(36) not null,
	identity_hash varchar(64) not null,
	subject varchar(255) not null,
	email varchar(254),
	created_at bigint not null,
	last_used_at bigint,
	primary key (id),
	foreign key (user_id) references users (id),
	foreign key (provider_id) references identity_providers (id)
);
create unique index identities_by_hash on identities (identity_hash);
create index identities_by_user on identities (user_id);
create index identities_by_provider on identities (provider_id);
