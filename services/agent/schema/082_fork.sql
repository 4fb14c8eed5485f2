-- What the workspace was behind a step of an execution: a snapshot of exec's, of which workspace. A fork has those of what it was forked from too.
create table step_snapshots (
  conversation_id varchar(36) not null,
  message_seq integer not null,
  execution_id varchar(36) not null,
  step integer not null,
  workspace varchar(64) not null,
  snapshot_id varchar(36) not null,
  created_at bigint not null,
  primary key (conversation_id, message_seq)
);

-- Of a fork: the conversation, the execution and the last message that it has of it.
alter table conversations add column forked_from varchar(36);
alter table conversations add column forked_execution varchar(36);
alter table conversations add column forked_seq integer;
