-- Many runs from the rows of a file. message: a template with {{column}}. columns: a JSON array of names. status: running, paused (by a person), stopped (by itself; reason
-- says why), cancelled, ended. failures: since it was last let go on.
create table batches (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  agent_id varchar(36) not null,
  agent_name varchar(200) not null,
  name varchar(200) not null,
  message text not null,
  columns text not null,
  n_rows integer not null,
  concurrency integer not null,
  max_failures integer not null,
  failures integer not null,
  status varchar(16) not null,
  reason varchar(64),
  created_at bigint not null,
  updated_at bigint not null,
  ended_at bigint
);
create index batches_user on batches (user_id, id);
create index batches_status on batches (status);

-- data: a JSON object of the row's cells. status: waiting, running, succeeded, failed, cancelled. A row becomes 'running' in the transaction that stores its execution, which
-- has the answer.
create table batch_rows (
  batch_id varchar(36) not null,
  number integer not null,
  data text not null,
  status varchar(16) not null,
  attempt integer not null,
  execution_id varchar(36),
  primary key (batch_id, number)
);
create index batch_rows_status on batch_rows (batch_id, status, number);

-- Of a conversation of a batch's row: the list of conversations leaves it out.
alter table conversations add column batch_id varchar(36);
create index conversations_batch on conversations (batch_id);
