-- Where runs are told to. agent_id null: of all agents. events: a JSON array of names. old_secret_sealed signs too until old_until. failing_since: the first failed try
-- since one succeeded. status: active, paused (by a person), disabled (by itself; reason says why).
create table webhooks (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  agent_id varchar(36),
  name varchar(200) not null,
  url varchar(2000) not null,
  events text not null,
  secret_sealed text not null,
  old_secret_sealed text,
  old_until bigint,
  status varchar(16) not null,
  reason varchar(64),
  failing_since bigint,
  version integer not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index webhooks_user on webhooks (user_id, id);

-- The outbox: what is to be told, written with what has happened. id is the webhook-id of every try. status: pending, delivered, failed, dropped. claimed_by works on
-- it until claimed_until.
create table webhook_deliveries (
  id varchar(36) not null primary key,
  webhook_id varchar(36) not null,
  event varchar(64) not null,
  execution_id varchar(36),
  body text not null,
  status varchar(16) not null,
  tries integer not null,
  next_at bigint not null,
  claimed_by varchar(190),
  claimed_until bigint not null,
  created_at bigint not null,
  ended_at bigint
);
create index webhook_deliveries_due on webhook_deliveries (status, next_at);
create index webhook_deliveries_list on webhook_deliveries (webhook_id, id);

create table webhook_tries (
  delivery_id varchar(36) not null,
  number integer not null,
  at bigint not null,
  duration_ms integer not null,
  status integer,
  error varchar(400),
  response text,
  primary key (delivery_id, number)
);

-- Addresses at which others begin runs. message: a template with {{body}} and {{body.some.member}}.
create table triggers (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  agent_id varchar(36) not null,
  name varchar(200) not null,
  message text not null,
  conversation varchar(8) not null,
  conversation_id varchar(36),
  per_minute integer not null,
  secret_sealed text not null,
  status varchar(16) not null,
  reason varchar(64),
  version integer not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index triggers_user on triggers (user_id, id);

-- Each request once: call_key is its webhook-id, or the hash of its signature.
create table trigger_calls (
  trigger_id varchar(36) not null,
  call_key varchar(255) not null,
  at bigint not null,
  execution_id varchar(36) not null,
  primary key (trigger_id, call_key)
);
create index trigger_calls_at on trigger_calls (trigger_id, at);
