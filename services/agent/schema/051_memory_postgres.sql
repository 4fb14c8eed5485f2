create table memories (
  number bigint generated always as identity primary key,
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
  words tsvector not null,
  unique (namespace, name)
);
create index memories_user on memories (user_id, id);
create index memories_words on memories using gin (words);
