-- When the address was proved to be the user's; null: an administrator or the set-up gave it.
alter table users add column email_verified_at bigint;
-- Failed sign-ins since the last one that went well.
alter table users add column failed_logins integer not null default 0;
-- When a password or another factor was last given for this session.
alter table sessions add column authenticated_at bigint not null default 0;

-- What a link in a mail stands for; its token follows from the id and a key (mail/link.h), so no secret is stored.
create table links (
	id varchar(36) not null,
	-- 'signup', 'invite', 'reset' or 'email'
	kind varchar(16) not null,
	-- whose; null for somebody who is no user yet
	user_id varchar(36),
	-- the address it goes to, and will belong to the user
	email varchar(254) not null,
	email_key varchar(254) not null,
	-- signup: what was filled in
	name varchar(200),
	password_hash varchar(255),
	-- invite: an array of JSON
	roles text,
	created_by varchar(36),
	created_at bigint not null,
	expires_at bigint not null,
	used_at bigint,
	withdrawn_at bigint,
	primary key (id)
);
create index links_by_user on links (user_id);
create index links_by_email on links (email_key);

-- What is to be sent, and was (mail/outbox.h).
create table outbox (
	id varchar(36) not null,
	kind varchar(24) not null,
	recipient varchar(254) not null,
	user_id varchar(36),
	link_id varchar(36),
	-- what the text names, an object of JSON
	facts text not null,
	-- 'waiting', 'sent', 'failed', or 'shown': there is no mail server, administrators hand the link over
	state varchar(16) not null,
	attempts integer not null,
	-- of one that waits: not before
	next_at bigint not null,
	error varchar(400),
	created_at bigint not null,
	ended_at bigint,
	primary key (id)
);
create index outbox_by_state on outbox (state, next_at);
create index outbox_by_user on outbox (user_id);
