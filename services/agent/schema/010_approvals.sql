-- What waits for a person: a call of a tool that needs leave, a command that exec's policy asks about, a question. A row is decided once. hash binds what was shown;
-- command_hash is exec's own. told: whether the decision stands in the execution's log. decision_arguments: what a person put in place of the arguments.
create table approvals (
  id varchar(36) not null primary key,
  execution_id varchar(36) not null,
  conversation_id varchar(36) not null,
  user_id varchar(64) not null,
  agent_name varchar(200) not null,
  call_id varchar(128) not null,
  step integer not null,
  kind varchar(16) not null,
  tool varchar(64) not null,
  arguments text not null,
  summary text,
  reason text,
  hash varchar(64) not null,
  command_hash varchar(64),
  status varchar(16) not null,
  told integer not null,
  decided_by varchar(64),
  decided_at bigint,
  decision_arguments text,
  decision_text text,
  created_at bigint not null,
  expires_at bigint not null
);
create index approvals_user on approvals (user_id, status, id);
create index approvals_status on approvals (status, id);
create index approvals_execution on approvals (execution_id);

-- An execution that waits for a person is nobody's: its owner is 'parked' and lease_until the time at which it goes on by itself; 0 wakes it. The time it waited does
-- not count against its limit.
alter table executions add column parked_at bigint;
alter table executions add column parked_us bigint not null default 0;
