-- Collections of documents that agents search. owner_id: who made it; is_shared: everybody may search it. embedding: "" = the built-in vectors, otherwise
-- a model as agents name it. revision rises with every change of what can be found. language: "simple", "english", …
create table knowledge_collections (
  id varchar(36) not null primary key,
  owner_id varchar(64) not null,
  name varchar(200) not null,
  description text not null,
  language varchar(32) not null,
  is_shared integer not null,
  embedding varchar(200) not null,
  piece_tokens integer not null,
  overlap_tokens integer not null,
  revision bigint not null,
  version integer not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index knowledge_collections_owner on knowledge_collections (owner_id);

-- status: queued, reading, embedding, ready, failed. While it is one of the first three it is work: owner has it until lease_until (db_clock_us), claim
-- counts who had it. live: the claim whose pieces are found, 0 = none. run_after: not before.
create table knowledge_documents (
  id varchar(36) not null primary key,
  collection_id varchar(36) not null references knowledge_collections (id),
  name varchar(300) not null,
  title varchar(300) not null,
  media_type varchar(64) not null,
  size bigint not null,
  hash varchar(64) not null,
  user_id varchar(64) not null,
  status varchar(16) not null,
  error_code varchar(64),
  error_message text,
  pages integer not null,
  pieces integer not null,
  tokens bigint not null,
  done_pieces integer not null,
  embedding varchar(200) not null,
  dimension integer not null,
  live bigint not null,
  claim bigint not null,
  owner varchar(190),
  lease_until bigint not null,
  attempts integer not null,
  run_after bigint not null,
  created_at bigint not null,
  updated_at bigint not null,
  indexed_at bigint not null,
  unique (collection_id, hash)
);
create index knowledge_documents_work on knowledge_documents (run_after) where status in ('queued', 'reading', 'embedding');
