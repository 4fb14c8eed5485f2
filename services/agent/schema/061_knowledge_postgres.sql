create table knowledge_contents (
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  part integer not null,
  data bytea not null,
  primary key (document_id, part)
);

create table knowledge_pieces (
  id bigint generated always as identity primary key,
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  claim bigint not null,
  number integer not null,
  page integer not null,
  heading varchar(400) not null,
  start_at bigint not null,
  end_at bigint not null,
  tokens integer not null,
  text text not null,
  words tsvector not null,
  unique (document_id, claim, number)
);
create index knowledge_pieces_words on knowledge_pieces using gin (words);

create table knowledge_vectors (
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  claim bigint not null,
  first integer not null,
  n integer not null,
  dimension integer not null,
  data bytea not null,
  primary key (document_id, claim, first)
);
