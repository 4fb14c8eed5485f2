-- Agents, conversations and executions. Times are microseconds since 1970, ids UUIDv7, booleans 0 or 1, JSON is text.

create table agents (
  id varchar(36) not null primary key,
  slug varchar(128) not null unique,
  name varchar(200) not null,
  description text not null,
  config text not null,
  version integer not null,
  owner_id varchar(64),
  created_at bigint not null,
  updated_at bigint not null,
  archived_at bigint
);

-- What an agent was at each version; an execution keeps to the version it started with.
create table agent_versions (
  agent_id varchar(36) not null,
  version integer not null,
  name varchar(200) not null,
  description text not null,
  config text not null,
  author_id varchar(64),
  created_at bigint not null,
  primary key (agent_id, version)
);

-- active_execution_id: the one that is not ended, if any: a conversation runs one at a time.
create table conversations (
  id varchar(36) not null primary key,
  user_id varchar(64) not null,
  agent_id varchar(36) not null,
  title varchar(400) not null,
  last_seq integer not null,
  active_execution_id varchar(36),
  last_execution_id varchar(36),
  created_at bigint not null,
  updated_at bigint not null
);
create index conversations_user on conversations (user_id, updated_at);

-- tool_calls: [{id, name, arguments}]; result: what a tool's message says, as an object.
create table messages (
  conversation_id varchar(36) not null,
  seq integer not null,
  id varchar(36) not null,
  execution_id varchar(36) not null,
  role varchar(16) not null,
  content text not null,
  tool_calls text,
  tool_call_id varchar(128),
  result text,
  created_at bigint not null,
  primary key (conversation_id, seq)
);

-- owner, lease_until: the process that works on it, owner null once it has ended, lease 0 when it found no room. claim rises with each taking-over: a process that lost
-- its lease can no longer write. draft_id: the id of the assistant's message to come, known on disk before a piece of it is shown.
-- seq_limit: events may be numbered up to here before they are stored. input_seq, output_seq: places of messages in the conversation.
create table executions (
  id varchar(36) not null primary key,
  conversation_id varchar(36) not null,
  agent_id varchar(36) not null,
  agent_version integer not null,
  agent_name varchar(200) not null,
  user_id varchar(64) not null,
  status varchar(16) not null,
  state varchar(16) not null,
  owner varchar(190),
  lease_until bigint not null,
  claim integer not null,
  cancel_at bigint,
  draft_id varchar(36) not null,
  input_seq integer not null,
  output_seq integer,
  model varchar(200),
  provider varchar(32),
  steps integer not null,
  commands integer not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  tokens_estimated integer not null,
  error_code varchar(64),
  error_message text,
  seq_limit bigint not null,
  last_seq bigint not null,
  created_at bigint not null,
  started_at bigint,
  ended_at bigint
);
create index executions_user on executions (user_id, id);
create index executions_conversation on executions (conversation_id, id);
create index executions_owner on executions (owner, lease_until);

-- The log of an execution. A row is one event, or the pieces of consecutive events seq ... last_seq of a text or an output (event.c).
create table execution_events (
  execution_id varchar(36) not null,
  seq bigint not null,
  last_seq bigint not null,
  type varchar(32) not null,
  at bigint not null,
  data text not null,
  primary key (execution_id, seq)
);
