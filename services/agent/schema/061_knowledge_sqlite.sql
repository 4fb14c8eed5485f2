-- The bytes of a document, in parts.
create table knowledge_contents (
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  part integer not null,
  data blob not null,
  primary key (document_id, part)
) without rowid;

-- start_at, end_at: bytes of the document's text.
create table knowledge_pieces (
  id integer primary key,
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  claim bigint not null,
  number integer not null,
  page integer not null,
  heading varchar(400) not null,
  start_at bigint not null,
  end_at bigint not null,
  tokens integer not null,
  text text not null,
  unique (document_id, claim, number)
);

-- What is searched for words; its rows have the ids of the pieces. English is stemmed.
create virtual table knowledge_words using fts5(words, tokenize = 'unicode61 remove_diacritics 2');
create virtual table knowledge_words_english using fts5(words, tokenize = 'porter unicode61 remove_diacritics 2');

-- The vectors of pieces from first on: n scales of four bytes (little-endian floats), then n rows.
create table knowledge_vectors (
  document_id varchar(36) not null references knowledge_documents (id) on delete cascade,
  claim bigint not null,
  first integer not null,
  n integer not null,
  dimension integer not null,
  data blob not null,
  primary key (document_id, claim, first)
);
