-- Where a conversation was made shorter for its model: the summary stands for the messages up to up_to_seq, which stay as they are. The newest mark of a run
-- whose messages are still there holds.
create table context_marks (
  id varchar(36) not null primary key,
  conversation_id varchar(36) not null,
  execution_id varchar(36) not null,
  up_to_seq integer not null,
  summary text not null,
  tokens_before bigint not null,
  tokens_after bigint not null,
  created_at bigint not null
);
create index context_marks_conversation on context_marks (conversation_id, up_to_seq);
