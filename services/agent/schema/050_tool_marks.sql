-- Calls of tools that must not be made twice: the row is there before the call is made.
create table tool_marks (
  call_key varchar(250) not null primary key,
  execution_id varchar(36) not null,
  created_at bigint not null
);
create index tool_marks_execution on tool_marks (execution_id);
