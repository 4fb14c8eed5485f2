-- What begins runs by itself at certain times. One of cron (with timezone), every_us (counted from starts_at) and at_us is set. conversation: 'new' each time or 'keep',
-- then conversation_id is the one that is kept. next_at: the next time that has not been planned. active_execution_id: the last run that was begun, until its end was seen.
-- status: active, paused (by a person), ended (no more times), stopped (by itself; reason says why).
create table schedules (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  agent_id varchar(36) not null,
  name varchar(200) not null,
  message text not null,
  cron varchar(200),
  timezone varchar(64) not null,
  every_us bigint,
  at_us bigint,
  starts_at bigint not null,
  ends_at bigint,
  conversation varchar(8) not null,
  conversation_id varchar(36),
  missed varchar(8) not null,
  missed_max integer not null,
  overlap varchar(8) not null,
  max_failures integer not null,
  failures integer not null,
  status varchar(16) not null,
  reason varchar(64),
  next_at bigint,
  active_execution_id varchar(36),
  version integer not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index schedules_user on schedules (user_id, id);
create index schedules_due on schedules (status, next_at);

-- Each time that was planned, once: firing_key is the time, or the id for one that a person asked for. status: waiting, started, succeeded, failed, cancelled, skipped,
-- missed (times of them, nobody was there), refused.
create table schedule_firings (
  id varchar(36) not null primary key,
  schedule_id varchar(36) not null,
  firing_key varchar(64) not null,
  planned_at bigint not null,
  at bigint not null,
  status varchar(16) not null,
  reason varchar(64),
  times integer not null,
  is_late integer not null,
  execution_id varchar(36),
  conversation_id varchar(36),
  unique (schedule_id, firing_key)
);
create index schedule_firings_open on schedule_firings (status, schedule_id);
create index schedule_firings_list on schedule_firings (schedule_id, id);
