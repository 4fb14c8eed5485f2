-- What agents remember. namespace: "user:ID" (what all of a person's agents know), "agent:AGENT:ID" (what one agent knows of one person), or "shared". user_id: whose it
-- is, '' for what is shared.
create table memories (
  number integer primary key,
  id varchar(36) not null unique,
  namespace varchar(120) not null,
  scope varchar(8) not null,
  user_id varchar(64) not null,
  agent_id varchar(36),
  name varchar(200) not null,
  value text not null,
  execution_id varchar(36),
  created_at bigint not null,
  updated_at bigint not null,
  unique (namespace, name)
);
create index memories_user on memories (user_id, id);
create virtual table memory_words using fts5(words, tokenize = 'unicode61 remove_diacritics 2');
