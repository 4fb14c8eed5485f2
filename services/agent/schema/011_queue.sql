-- Messages that came while an execution was on, each with the execution that it is to start. kind 'queue': after the present one; 'steer': said to the present one at its
-- next step, if there is one. The greatest priority goes first.
create table queued_messages (
  id varchar(36) not null primary key,
  conversation_id varchar(36) not null,
  execution_id varchar(36) not null,
  kind varchar(16) not null,
  priority integer not null,
  content text not null,
  created_at bigint not null,
  traceparent varchar(55)
);
create index queued_messages_conversation on queued_messages (conversation_id, priority, id);
create index queued_messages_execution on queued_messages (execution_id);

-- Set: when it has ended, it and its messages are taken away.
alter table executions add column is_rolled_back integer not null default 0;
