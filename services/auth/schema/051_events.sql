-- Where security events go (events/events.h). secret: sealed. events: an array of JSON with names and patterns, [] = all.
create table security_webhooks (
	id varchar(36) not null,
	url varchar(2000) not null,
	description varchar(400) not null,
	secret varchar(400) not null,
	events varchar(2000) not null,
	enabled smallint not null,
	created_at bigint not null,
	updated_at bigint not null,
	primary key (id)
);

-- What is to be delivered, and what came of it: state is waiting, delivered or failed. next_at: not before then, and while
-- somebody is at it (leased) not before his time is over.
create table security_deliveries (
	id varchar(36) not null,
	webhook_id varchar(36) not null,
	event varchar(64) not null,
	body text not null,
	created_at bigint not null,
	state varchar(16) not null,
	tries integer not null,
	next_at bigint not null,
	leased smallint not null,
	status integer,
	error varchar(400),
	ended_at bigint,
	primary key (id),
	foreign key (webhook_id) references security_webhooks (id)
);
create index security_deliveries_by_time on security_deliveries (state, next_at);
create index security_deliveries_by_webhook on security_deliveries (webhook_id, id);
