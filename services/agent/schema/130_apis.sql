-- APIs that are described by OpenAPI documents. url: where the document was read, null = it was sent. credentials: sealed (seal.h) JSON {scheme:
-- {value} or {username, password}}; credential_ends: {scheme: last characters}. shares: as of agents.
create table api_sources (
  id varchar(36) not null primary key,
  owner_id varchar(64) not null,
  slug varchar(64) not null,
  name varchar(200) not null,
  description text not null,
  url text,
  document_version varchar(400) not null,
  servers text not null,
  base_url text not null,
  schemes text not null,
  credentials text,
  credential_ends text not null,
  shares text not null,
  version integer not null,
  read_at bigint not null,
  created_at bigint not null,
  updated_at bigint not null,
  unique (owner_id, slug)
);
-- Its operations in the order of the document. spec: apis/document.h; problem: why it cannot be called, null = it can.
create table api_operations (
  source_id varchar(36) not null,
  name varchar(64) not null,
  position integer not null,
  method varchar(10) not null,
  path text not null,
  summary text not null,
  problem text,
  spec text not null,
  primary key (source_id, name)
);
